import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { compile } from '../../../nftables/evaluate/index.ts';
import { formatIptables } from '../../../nftables/format/iptables.ts';
import { decodeIpSetPart } from '../../../nftables/ipset-decode.ts';
import { decodeLegacy, type LegacyTable } from '../../../nftables/legacy-decode.ts';
import type { Rule, Ruleset } from '../../../nftables/model.ts';
import { decodeMatch, decodeTarget, type XtFamily } from '../../../nftables/xt/index.ts';

// `NFTABLES_FUZZ_INPUTS=1000000 npx vitest run --project unit test/unit/nftables/xt-fuzz.test.ts` takes some minutes.
const inputs = Number(process.env['NFTABLES_FUZZ_INPUTS'] ?? 3000);

/** Captured from Linux 6.18; `~9.` is nine bytes of zero. A line is its kind, what tells it, and the bytes. */
const lines = readFileSync(new URL('../../fixtures/nftables/xt-seeds.txt', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => line.split(' '));

function bytesOf(text: string | undefined): Uint8Array {
  const hex = (text ?? '').replaceAll(/~(\d+)\./g, (_, count) => '00'.repeat(Number(count)));
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}

interface Blob {
  readonly kind: 'match' | 'target';
  readonly family: XtFamily;
  readonly name: string;
  readonly revision: number;
  readonly info: Uint8Array;
}

const blobs: readonly Blob[] = lines.flatMap(([kind, family, name = '', revision, info]) =>
  kind === 'match' || kind === 'target'
    ? [
        {
          kind,
          family: family === 'ip6' ? 'ip6' : 'ip',
          name,
          revision: Number(revision),
          info: bytesOf(info),
        },
      ]
    : [],
);
const sets = lines.flatMap(([kind, bytes]) => (kind === 'ipset' ? [bytesOf(bytes)] : []));
const tables: readonly LegacyTable[] = lines.flatMap((parts) => {
  const [kind, family, name = '', hooks, entry = '', underflow = '', entries] = parts;
  if (kind !== 'table') return [];
  return [
    {
      family: family === 'ip6' ? 'ip6' : 'ip',
      name,
      validHooks: Number(hooks),
      hookEntry: entry.split(',').map(Number),
      underflow: underflow.split(',').map(Number),
      entries: bytesOf(entries),
    },
  ];
});

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

/** One to four damages: flipped bits, bytes that lie, cut or longer ends. */
function mutate(seed: Uint8Array, random: (below: number) => number): Uint8Array {
  let bytes = Uint8Array.from(seed);
  for (let count = 1 + random(4); count > 0; count--) {
    const at = random(bytes.length + 1);
    switch (random(5)) {
      case 0:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
        break;
      case 1:
        bytes[at] = random(256);
        break;
      case 2:
        bytes[at] = [0, 1, 15, 16, 32, 255][random(6)] ?? 0;
        break;
      case 3:
        if (random(4) === 0) bytes = bytes.slice(0, at);
        break;
      default:
        if (random(4) === 0) bytes = Uint8Array.from([...bytes, ...bytes.subarray(at)]);
    }
  }
  return bytes;
}

function pick<T>(list: readonly T[], random: (below: number) => number): T | undefined {
  return list[random(list.length)];
}

const empty: Ruleset = {
  tables: [],
  chains: [],
  rules: [],
  sets: [],
  objects: [],
  flowtables: [],
  ipsets: [],
};

/** Writes a rule and lets a packet meet it, as whoever reads a ruleset does. */
function use(rule: Rule): void {
  formatIptables(rule, empty);
  const { backend, family, table, chain } = rule;
  const base = {
    type: 'filter',
    hook: 'input',
    priority: 0,
    policy: 'accept',
    devices: [],
  } as const;
  const ruleset: Ruleset = {
    ...empty,
    tables: [{ backend, family, name: table, handle: 1, dormant: false }],
    chains: [{ backend, family, table, name: chain, handle: 1, base }],
    rules: [rule],
  };
  const packet = { direction: 'in', protocol: 6, inInterface: 'eth0' } as const;
  const answer = compile(ruleset, {}).evaluate({
    ...packet,
    family: family === 'ip6' ? 'ip6' : 'ip',
  });
  expect(answer.possible.length).toBeGreaterThan(0);
}

const place = { backend: 'nf_tables', table: 't', chain: 'c', handle: 1, index: 1 } as const;

test('every blob that the kernel gave is decoded', () => {
  expect(blobs.length).toBeGreaterThan(150);
  const unknown = blobs.filter((blob) =>
    blob.kind === 'match'
      ? decodeMatch(blob, blob.family) === undefined
      : decodeTarget(blob, blob.family) === undefined,
  );
  expect(unknown.map(({ kind, name, revision }) => `${kind} ${name} ${revision}`)).toEqual([]);
});

test('a blob of another length, or of a revision that is not known, is not decoded', () => {
  for (const blob of blobs) {
    const { info } = blob;
    const decode = blob.kind === 'match' ? decodeMatch : decodeTarget;
    const longer = Uint8Array.from([...info, ...new Uint8Array(8)]);
    const others = [longer, ...(info.length > 0 ? [info.slice(0, -1), info.slice(0, -8)] : [])];
    for (const other of others)
      expect(decode({ ...blob, info: other }, blob.family)).toBeUndefined();
    expect(decode({ ...blob, revision: 77 }, blob.family)).toBeUndefined();
  }
});

describe('nothing throws, whatever the bytes', () => {
  test('matches and targets', () => {
    const random = createRandom(1);
    for (let count = 0; count < inputs; count++) {
      const blob = pick(blobs, random);
      if (blob === undefined) throw new Error('no seeds');
      const { kind, family, name } = blob;
      const info = mutate(blob.info, random);
      const revision = random(20) === 0 ? random(5) : blob.revision;
      use({ ...place, family, expressions: [{ kind, name, revision, info }] });
    }
  });

  test('legacy tables', () => {
    const random = createRandom(2);
    for (let count = 0; count < inputs / 20; count++) {
      const table = pick(tables, random);
      if (table === undefined) throw new Error('no seeds');
      const entries = mutate(table.entries, random);
      const { rules, chains } = decodeLegacy({ ...table, entries });
      // An entry has at least its fixed part and a target.
      expect(rules.length).toBeLessThanOrEqual(entries.length / 144);
      expect(chains.length).toBeLessThanOrEqual(5 + entries.length / 144);
      const rule = pick(rules, random);
      if (rule !== undefined) use(rule);
    }
  });

  test('sets of ip_set', () => {
    const random = createRandom(3);
    for (let count = 0; count < inputs; count++) {
      const seed = pick(sets, random);
      if (seed === undefined) throw new Error('no seeds');
      const payload = mutate(seed, random);
      const part = decodeIpSetPart(payload);
      expect(part?.entries.length ?? 0).toBeLessThanOrEqual(payload.length / 4);
    }
  });
});
