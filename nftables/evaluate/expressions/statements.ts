/** @module Expressions that end a rule, or whose outcome is nowhere known. */
import type { Expression, ExpressionOf } from '../../model.ts';
import {
  because,
  change,
  type Ending,
  end,
  endWith,
  type Machine,
  mayEndWith,
  type Step,
  type StepResult,
  store,
  storeUnknown,
} from '../machine.ts';
import { no, yes } from '../ternary.ts';

/** A step that may match or not, and fills a register with what is not known. */
export function uncertain(why: string, register?: number, length = 4): Step {
  return (machine) => {
    if (register !== undefined) storeUnknown(machine, register, length, why);
    return because(machine, why);
  };
}

/** A number from `offset` to `offset + modulus - 1`: the bits that all of them share are known. */
export function compileNumber(
  {
    register,
    modulus,
    offset,
  }: { readonly register: number; readonly modulus: number; readonly offset: number },
  why: string,
): Step {
  const last = offset + Math.max(modulus, 1) - 1;
  const different = last > 0xffffffff ? 0xffffffff : (offset ^ last) >>> 0;
  // Bits above the highest one in which first and last differ.
  const known = different === 0 ? 0xffffffff : ~(0xffffffff >>> Math.clz32(different)) >>> 0;
  const bytes = (number: number): Uint8Array => {
    const result = new Uint8Array(4);
    new DataView(result.buffer).setUint32(0, number >>> 0, true);
    return result;
  };
  return (machine) => {
    store(machine, register, bytes(offset), bytes(known), 4, why);
    return yes;
  };
}

export function compileLimit({ rate, unitSeconds, type, over }: ExpressionOf<'limit'>): Step {
  const unit = new Map([
    [1, 'second'],
    [60, 'minute'],
    [3600, 'hour'],
    [86400, 'day'],
    [604800, 'week'],
  ]).get(unitSeconds);
  const bytes = type === 'bytes' ? ' bytes' : '';
  return uncertain(
    `limit rate ${over ? 'over ' : ''}${rate}${bytes}/${unit ?? `${unitSeconds} seconds`}`,
  );
}

/** The packet goes to a program, if one listens: it may accept or drop. Without one the packet is dropped, or with bypass accepted. */
export function compileQueue(expression: ExpressionOf<'queue'>): Step {
  const { number, bypass } = expression;
  const endings: readonly Ending[] = [
    { code: 'queue', number, bypass },
    { code: 'drop' },
    { code: 'accept' },
  ];
  return (machine) => endWith(machine, endings, true, 'what listens on the queue is not known');
}

const SYN = 0x02;
const ACK = 0x10;

/** nft_synproxy_eval: a SYN is answered and kept, the last ACK of the handshake too, if its cookie is right. */
export function compileSynproxy(): Step {
  return (machine): StepResult => {
    const { state } = machine;
    if (state.protocol !== 6 || state.fragment === 'later') return no;
    const at = state.transportOffset + 13;
    const flags = state.bytes[at] ?? 0;
    const known = state.known[at] ?? 0;
    const why = 'what the SYN proxy does is not known';
    if ((known & SYN) === 0) {
      return mayEndWith(machine, [{ code: 'stolen' }, { code: 'drop' }], why);
    }
    if ((flags & SYN) !== 0) return end(machine, { code: 'stolen' });
    if ((known & ACK) === 0) {
      return mayEndWith(machine, [{ code: 'stolen' }, { code: 'drop' }], why);
    }
    if ((flags & ACK) === 0) return yes;
    return endWith(machine, [{ code: 'stolen' }, { code: 'drop' }], true, why);
  };
}

/** Headers behind the first: IPv6 has none but that of a fragment, IPv4 no options; TCP's and SCTP's are open. */
export function compileExthdr(expression: ExpressionOf<'exthdr'>): Step {
  const { protocol, type, offset, length, present, register } = expression;
  const name = `${protocol} ${type}`;
  const absent = (machine: Machine): StepResult => {
    if (!present) return no;
    store(machine, register, Uint8Array.of(0), undefined, 1, '');
    return yes;
  };
  const open = (machine: Machine): StepResult => {
    storeUnknown(
      machine,
      register,
      present ? 1 : length,
      `whether the packet has ${name} is not known`,
    );
    return present ? yes : because(machine, `whether the packet has ${name} is not known`);
  };
  return (machine) => {
    const { state } = machine;
    if (protocol === 'ipv6') {
      if (state.family !== 'ip6') return present ? open(machine) : no;
      if (type !== 44 || state.fragment === 'none') return absent(machine);
      if (present) {
        store(machine, register, Uint8Array.of(1), undefined, 1, '');
        return yes;
      }
      const origin = `${name} is not known`;
      store(machine, register, state.bytes, state.known, length, origin, 40 + offset);
      return yes;
    }
    if (protocol === 'ipv4-option') return absent(machine);
    const number = { 'tcp-option': 6, 'sctp': 132, 'dccp': 33 }[protocol];
    if (state.protocol !== number || state.fragment === 'later') return absent(machine);
    return open(machine);
  };
}

export function compileExthdrSet({ protocol }: ExpressionOf<'exthdr-set'>): Step {
  return (machine) => {
    const { state } = machine;
    if (protocol === 'tcp-option' && (state.protocol !== 6 || state.fragment === 'later'))
      return no;
    return because(machine, 'whether the packet has the option to write is not known');
  };
}

/** What is not decoded may do anything. */
export function compileOpaque({ name }: { readonly name: string }): Step {
  const why = `${name} is not modelled`;
  const endings: readonly Ending[] = [{ code: 'accept' }, { code: 'drop' }];
  return (machine) => {
    machine.known.fill(0);
    machine.origins.fill(why);
    change(machine, { markKnown: 0, priorityKnown: 0 });
    return mayEndWith(machine, endings, why);
  };
}

/** nft_objref_eval: the object's own statement. */
export function compileObject(
  object: Expression | undefined,
  compile: (one: Expression) => Step,
  type: string,
): Step {
  switch (type) {
    case 'counter':
    case 'ct-helper':
    case 'ct helper':
    case 'secmark':
    case 'tunnel':
      return () => yes;
    default:
      break;
  }
  if (object === undefined || object.kind === 'opaque')
    return uncertain(`the ${type} object is not modelled`);
  return compile(object);
}
