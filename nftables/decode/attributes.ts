/**
 * @module Netlink's attributes: bytes -> numbers, texts and nested attributes. Pure.
 *
 * struct nlattr (linux/netlink.h): u16 length with header, u16 type whose two highest bits are flags; padded to four bytes. Headers
 * are in host byte order (little-endian here); every number inside nf_tables' attributes is big-endian (linux/netfilter/nf_tables.h).
 * Lengths can lie: a run of attributes ends at the first that does not fit, and says so. Values are views of what is decoded: who
 * receives into one buffer again and again copies first.
 */

/** Number without flags, and value. */
export type Attribute = readonly [number, Uint8Array];

const typeMask = 0x3fff;
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** Splits a run of attributes. `whole` is false when bytes are left over that are no attribute. */
export function splitAttributes(bytes: Uint8Array): {
  readonly attributes: readonly Attribute[];
  readonly whole: boolean;
} {
  const attributes: Attribute[] = [];
  let at = 0;
  while (at + 4 <= bytes.length) {
    const length = hostShort(bytes, at);
    if (length < 4 || at + length > bytes.length) break;
    attributes.push([hostShort(bytes, at + 2) & typeMask, bytes.subarray(at + 4, at + length)]);
    at += (length + 3) & ~3;
  }
  return { attributes, whole: at >= bytes.length };
}

/**
 * Reads the attributes of one object. Asks are never refused: what is missing or malformed is remembered, and `isUnderstood` is true only
 * when every ask was met and every attribute was asked for. So a decoder is written straight down, and what a newer kernel adds
 * is never taken for something that it is not.
 */
export class AttributeReader {
  readonly #attributes = new Map<number, Uint8Array>();
  readonly #children: AttributeReader[] = [];
  #unread: number;
  #failed = false;

  constructor(bytes: Uint8Array) {
    const { attributes, whole } = splitAttributes(bytes);
    for (const [type, value] of attributes) this.#attributes.set(type, value);
    this.#unread = this.#attributes.size;
    // The kernel repeats none of an object's own attributes: which of the two would count?
    this.#failed = !whole || this.#unread !== attributes.length;
  }

  /** Whether all that was asked for is there and well-formed, and all that is there was asked for. */
  get isUnderstood(): boolean {
    return (
      !this.#failed && this.#unread === 0 && this.#children.every((child) => child.isUnderstood)
    );
  }

  has(type: number): boolean {
    return this.#attributes.has(type);
  }

  /** What a decoder finds wrong itself. */
  fail(): void {
    this.#failed = true;
  }

  /** Attributes that say nothing that matters: padding, use counts. */
  ignore(...types: readonly number[]): void {
    for (const type of types) this.#take(type);
  }

  /** Each ask counts once; asking again for the same attribute gives nothing. */
  #take(type: number): Uint8Array | undefined {
    const value = this.#attributes.get(type);
    if (value === undefined) return undefined;
    this.#attributes.delete(type);
    this.#unread--;
    return value;
  }

  maybeBytes(type: number): Uint8Array | undefined {
    return this.#take(type);
  }

  bytes(type: number): Uint8Array {
    return this.#take(type) ?? this.#missing(new Uint8Array());
  }

  /** A big-endian number of exactly one, two, four or eight bytes. Beyond 2^53 it is rounded. */
  maybeNumber(type: number, size: 1 | 2 | 4 | 8): number | undefined {
    const value = this.#take(type);
    if (value === undefined) return undefined;
    return value.length === size ? bigEndian(value) : this.#missing(0);
  }

  number(type: number, size: 1 | 2 | 4 | 8): number {
    return this.maybeNumber(type, size) ?? this.#missing(0);
  }

  u32(type: number): number {
    return this.number(type, 4);
  }

  maybeU32(type: number): number | undefined {
    return this.maybeNumber(type, 4);
  }

  u64(type: number): number {
    return this.number(type, 8);
  }

  maybeU64(type: number): number | undefined {
    return this.maybeNumber(type, 8);
  }

  /** A big-endian u32 of which only these bits may be set. Absent: none. */
  flags(type: number, known: number, size: 2 | 4 = 4): number {
    const value = this.maybeNumber(type, size) ?? 0;
    return (value & ~known) === 0 ? value : this.#missing(0);
  }

  /** A u32 that counts into a list of names. */
  oneOf<const T>(type: number, names: readonly T[], size: 1 | 4 = 4): T | undefined {
    return names[this.number(type, size)] ?? this.#missing(undefined);
  }

  maybeText(type: number): string | undefined {
    const value = this.#take(type);
    return value === undefined ? undefined : textOf(value);
  }

  text(type: number): string {
    return this.maybeText(type) ?? this.#missing('');
  }

  nested(type: number): AttributeReader {
    return this.maybeNested(type) ?? this.#missing(new AttributeReader(new Uint8Array()));
  }

  maybeNested(type: number): AttributeReader | undefined {
    const value = this.#take(type);
    if (value === undefined) return undefined;
    const child = new AttributeReader(value);
    this.#children.push(child);
    return child;
  }

  /** The values of a list: nested attributes that all have one number. */
  list(type: number, elementType: number): readonly Uint8Array[] {
    const value = this.#take(type);
    if (value === undefined) return [];
    const { attributes, whole } = splitAttributes(value);
    if (!whole || attributes.some(([found]) => found !== elementType)) this.#failed = true;
    return attributes.map(([, element]) => element);
  }

  /** A register that holds or takes `length` bytes, as the number of its first 32-bit word. */
  register(type: number, length = 1): number {
    return this.maybeRegister(type, length) ?? this.#missing(0);
  }

  maybeRegister(type: number, length = 1): number | undefined {
    const raw = this.maybeNumber(type, 4);
    if (raw === undefined) return undefined;
    const word = registerWord(raw);
    if (word === undefined || length < 0 || word * 4 + length > 64) return this.#missing(0);
    return word;
  }

  /** struct nft_data: nested, 1 is the value. */
  value(type: number): Uint8Array {
    return this.maybeValue(type) ?? this.#missing(new Uint8Array());
  }

  maybeValue(type: number): Uint8Array | undefined {
    const data = this.maybeNested(type);
    return data === undefined ? undefined : valueOf(data);
  }

  /** A destination that may be NFT_REG_VERDICT (0). */
  verdictOrRegister(type: number): 'verdict' | number {
    const raw = this.number(type, 4);
    return raw === 0 ? 'verdict' : (registerWord(raw) ?? this.#missing(0));
  }

  #missing<T>(instead: T): T {
    this.#failed = true;
    return instead;
  }
}

/** The value of struct nft_data, which has 1 to 64 bytes: a view of what is decoded. */
export function valueOf(data: AttributeReader): Uint8Array {
  const value = data.bytes(1);
  if (value.length === 0 || value.length > 64) data.fail();
  return value;
}

/** NFT_REG_1 to NFT_REG_4 (1 to 4) are four words each and overlay NFT_REG32_00 to _15 (8 to 23). 0 is the verdict. */
function registerWord(raw: number): number | undefined {
  if (raw >= 1 && raw <= 4) return (raw - 1) * 4;
  return raw >= 8 && raw <= 23 ? raw - 8 : undefined;
}

function bigEndian(bytes: Uint8Array): number {
  let value = 0;
  for (const byte of bytes) value = value * 256 + byte;
  return value;
}

/** Text up to its end or its first NUL. Names are nearly always ASCII, and the decoder of UTF-8 is slow to start. */
export function textOf(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    if (byte === 0) return text;
    if (byte >= 0x80 || text.length >= 64) return longTextOf(bytes);
    text += String.fromCharCode(byte);
  }
  return text;
}

function longTextOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return utf8.decode(end < 0 ? bytes : bytes.subarray(0, end));
}

export function hostShort(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
}

export function hostNumber(bytes: Uint8Array, at: number): number {
  return (hostShort(bytes, at) | (hostShort(bytes, at + 2) << 16)) >>> 0;
}

type Given<T> = { readonly [K in keyof T]?: Exclude<T[K], undefined> };

/** The fields that have a value. */
export function given<T extends object>(fields: T): Given<T> {
  const found: Given<T> = { ...fields };
  for (const key in found) if (found[key] === undefined) Reflect.deleteProperty(found, key);
  return found;
}
