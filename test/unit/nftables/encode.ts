/** @module Netlink bytes as nf_tables writes them, for tests. */

/** struct nlattr, padded. */
export function attribute(type: number, ...values: readonly Uint8Array[]): Uint8Array {
  const value = Buffer.concat(values);
  const bytes = new Uint8Array((4 + value.length + 3) & ~3);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 4 + value.length, true);
  view.setUint16(2, type, true);
  bytes.set(value, 4);
  return bytes;
}

/** A big-endian number, of four bytes unless said. */
export function number(type: number, value: number, size: 1 | 2 | 4 | 8 = 4): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
  return attribute(type, bytes.subarray(8 - size));
}

export function text(type: number, value: string): Uint8Array {
  return attribute(type, Buffer.from(`${value}\0`));
}

/** struct nft_data with a value. */
export function value(type: number, ...bytes: readonly number[]): Uint8Array {
  return attribute(type, attribute(1, Uint8Array.from(bytes)));
}

/** NFTA_LIST_ELEM with 1 name, 2 data. */
export function expression(name: string, ...data: readonly Uint8Array[]): Uint8Array {
  return attribute(1, text(1, name), attribute(2, ...data));
}

/** NFT_MSG_NEWRULE of family inet. */
export function ruleMessage(
  table: string,
  chain: string,
  handle: number,
  ...expressions: readonly Uint8Array[]
): Uint8Array {
  const message = Buffer.concat([
    Uint8Array.of(1, 0, 0, 0),
    text(1, table),
    text(2, chain),
    number(3, handle, 8),
    attribute(4, ...expressions),
  ]);
  return Uint8Array.from(message);
}
