/**
 * @module Runs a classic BPF program as the kernel would (Documentation/networking/filter.rst): the instructions that
 * filters of ours use. Any other instruction fails the test, and so does a program that the kernel would refuse.
 */

export interface Instruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

/** How many bytes of the packet the program passes; 0 refuses it. A load beyond the packet refuses it. */
export function runFilter(program: readonly Instruction[], packet: Uint8Array): number {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  let accumulator = 0;
  let index = 0;
  for (let at = 0; ; at++) {
    const instruction = program[at];
    if (instruction === undefined) throw new Error(`the program runs off its end at ${at}`);
    const { code, jt, jf, k } = instruction;
    const load = (bytes: 1 | 2 | 4, offset: number): boolean => {
      if (offset < 0 || offset + bytes > packet.length) return false;
      accumulator =
        bytes === 1
          ? view.getUint8(offset)
          : bytes === 2
            ? view.getUint16(offset)
            : view.getUint32(offset);
      return true;
    };
    let loaded = true;
    switch (code) {
      case 0x20: // BPF_LD | BPF_W | BPF_ABS
        loaded = load(4, k);
        break;
      case 0x28: // BPF_LD | BPF_H | BPF_ABS
        loaded = load(2, k);
        break;
      case 0x30: // BPF_LD | BPF_B | BPF_ABS
        loaded = load(1, k);
        break;
      case 0x40: // BPF_LD | BPF_W | BPF_IND
        loaded = load(4, index + k);
        break;
      case 0x48: // BPF_LD | BPF_H | BPF_IND
        loaded = load(2, index + k);
        break;
      case 0x50: // BPF_LD | BPF_B | BPF_IND
        loaded = load(1, index + k);
        break;
      case 0xb1: // BPF_LDX | BPF_B | BPF_MSH
        if (k >= packet.length) loaded = false;
        else index = 4 * (view.getUint8(k) & 15);
        break;
      case 0x01: // BPF_LDX | BPF_IMM
        index = k;
        break;
      case 0x54: // BPF_ALU | BPF_AND | BPF_K
        accumulator = (accumulator & k) >>> 0;
        break;
      case 0x15: // BPF_JMP | BPF_JEQ | BPF_K
        at += accumulator === k ? jt : jf;
        break;
      case 0x06: // BPF_RET | BPF_K
        return k;
      default:
        throw new Error(`instruction ${code.toString(16)} is not known here`);
    }
    if (!loaded) return 0;
  }
}

/** Whether the kernel's checker would take it: jumps stay inside, fields fit, and the last instruction returns. */
export function isLoadable(program: readonly Instruction[]): boolean {
  const fits = (value: number, bits: number) =>
    Number.isInteger(value) && value >= 0 && value < 2 ** bits;
  return (
    program.length > 0 &&
    program.length <= 4096 &&
    program[program.length - 1]?.code === 0x06 &&
    program.every(
      ({ code, jt, jf, k }, at) =>
        fits(code, 16) &&
        fits(jt, 8) &&
        fits(jf, 8) &&
        fits(k, 32) &&
        at + 1 + Math.max(jt, jf) < program.length + (code === 0x15 ? 0 : 1),
    )
  );
}
