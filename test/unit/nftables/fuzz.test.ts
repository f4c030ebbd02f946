import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { decodeChange } from '../../../nftables/decode/changes.ts';
import { packElements } from '../../../nftables/decode/elements.ts';
import { decodeHook } from '../../../nftables/decode/hooks.ts';
import { decodeMessages } from '../../../nftables/decode/messages.ts';
import {
  decodeChain,
  decodeFlowtable,
  decodeGeneration,
  decodeObject,
  decodeTable,
} from '../../../nftables/decode/objects.ts';
import { RuleStore } from '../../../nftables/decode/rule-store.ts';
import { decodeRule } from '../../../nftables/decode/rules.ts';
import { decodeElementsMessage, decodeSet } from '../../../nftables/decode/sets.ts';
import type { Expression } from '../../../nftables/model.ts';

// `NFTABLES_FUZZ_INPUTS=1000000 npx vitest run --project unit test/unit/nftables/fuzz.test.ts` takes a few minutes.
const inputs = Number(process.env['NFTABLES_FUZZ_INPUTS'] ?? 8000);

const fixture: Readonly<Record<string, unknown>> = JSON.parse(
  readFileSync(new URL('../../fixtures/nftables/messages.json', import.meta.url), 'utf8'),
);
const seeds: readonly Uint8Array[] = Object.values(fixture)
  .flatMap((list) => (Array.isArray(list) ? list : []))
  .map((text: unknown) => Uint8Array.from(Buffer.from(String(text), 'base64')));

/** mulberry32: the same numbers on every run. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** One to four damages: flipped bits, bytes and lengths that lie, cut ends, parts of another message. */
function mutate(random: (below: number) => number): Uint8Array {
  let bytes = Uint8Array.from(seeds[random(seeds.length)] ?? []);
  for (let count = 1 + random(4); count > 0; count--) {
    const at = random(bytes.length + 1);
    const word = at & ~3;
    switch (random(6)) {
      case 0:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
        break;
      case 1:
        bytes[at] = random(256);
        break;
      case 2:
        bytes[word] = [0, 1, 3, 4, 5, 8, 0xff][random(7)] ?? 0;
        bytes[word + 1] = [0, 0, 0, 1, 0xff][random(5)] ?? 0;
        break;
      case 3:
        bytes = bytes.slice(0, at);
        break;
      case 4: {
        const other = seeds[random(seeds.length)] ?? new Uint8Array();
        bytes = Uint8Array.from([...bytes.subarray(0, word), ...other.subarray(word)]);
        break;
      }
      default: {
        // The same part twice: nests and repeats attributes.
        const part = bytes.subarray(word, word + random(256));
        const whole = [...bytes.subarray(0, word), ...part, ...bytes.subarray(word)];
        bytes = Uint8Array.from(whole.slice(0, 4096));
      }
    }
  }
  return bytes;
}

/** Nested ones too. */
function countAll(expressions: readonly Expression[]): number {
  let count = expressions.length;
  for (const one of expressions) {
    if (one.kind === 'dynset') count += countAll(one.expressions);
    if (one.kind === 'inner') count += countAll([one.expression]);
  }
  return count;
}

test(`${inputs} damaged messages throw nothing, and take no more memory than they have bytes`, () => {
  const random = createRandom(1);
  let store = new RuleStore();
  let [rules, sets, opaque] = [0, 0, 0];
  for (let count = 0; count < inputs; count++) {
    const bytes = mutate(random);
    if (count % 512 === 0) store = new RuleStore();
    const rule = decodeRule(bytes);
    const kept = store.add(bytes, 1);
    const set = decodeSet(bytes);
    const message = decodeElementsMessage(bytes);
    const elements = message === undefined ? [] : [...packElements([message.elements])];
    decodeMessages(bytes);
    decodeTable(bytes);
    decodeChain(bytes);
    decodeObject(bytes);
    decodeFlowtable(bytes);
    decodeGeneration(bytes);
    decodeHook(bytes);
    decodeChange({ type: 0xa00 + random(33), flags: 0, sequence: 0, payload: bytes });
    // An attribute has four bytes at least.
    const limit = bytes.length / 4;
    const found = countAll(rule?.expressions ?? []) + countAll(kept?.expressions ?? []);
    if (found > 2 * limit || elements.length > limit) expect.fail(`input ${count} grew`);
    if (rule !== undefined) rules++;
    if (set !== undefined) sets++;
    if (rule?.expressions.some(({ kind }) => kind === 'opaque') === true) opaque++;
  }
  // Most inputs are damaged only a little: they reach the inner decoders.
  expect(rules).toBeGreaterThan(inputs / 4);
  expect(sets).toBeGreaterThan(inputs / 50);
  expect(opaque).toBeGreaterThan(inputs / 20);
}, 3_600_000);

test('what was captured is decoded whole, and the same by both ways of decoding', () => {
  const store = new RuleStore();
  for (const bytes of seeds) {
    const rule = decodeRule(bytes);
    if (rule === undefined) continue;
    expect(store.add(bytes, 1)).toEqual(rule);
  }
});
