import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { describeProvider } from '../../../agent/providers-command.ts';
import { CatalogueError, loadCatalogue } from '../../../rules/load.ts';
import { resolveProvider } from '../../../rules/resolve.ts';
import type { Catalogue } from '../../../rules/schema.ts';

const invented = fileURLToPath(new URL('../../fixtures/rules/invented/', import.meta.url));

/** A requirement of everybody, with more lines, or others, than usual. */
function common(lines: Readonly<Record<string, string>> = {}): string {
  const fields = {
    suffix: 'forward',
    kind: 'sysctl',
    level: 'recommended',
    scope: 'node',
    params: "{ key: net/ipv4/ip_forward, values: ['1'], absent: fail }",
    purpose: 'A node forwards.',
    source: "['https://forward.example/']",
    ...lines,
  };
  const [first = '', ...rest] = Object.entries(fields).map(([name, value]) => `${name}: ${value}`);
  return [`  - ${first}`, ...rest.map((line) => `    ${line}`), ''].join('\n');
}

describe('what every provider needs', () => {
  const directories: string[] = [];
  let builtIn: Catalogue;
  beforeAll(async () => {
    builtIn = await loadCatalogue();
  });
  afterEach(async () => {
    for (const directory of directories.splice(0)) await rm(directory, { recursive: true });
  });

  async function load(...requirements: readonly string[]): Promise<Catalogue> {
    const directory = await mkdtemp(join(tmpdir(), 'cni-preflight-common-'));
    directories.push(directory);
    await writeFile(join(directory, 'common.yaml'), `requirements:\n${requirements.join('')}`);
    return await loadCatalogue({ base: builtIn, directories: [invented, directory] });
  }

  async function problemsOf(...requirements: readonly string[]): Promise<string[]> {
    const error = await load(...requirements).catch((thrown: unknown) => thrown);
    if (!(error instanceof CatalogueError)) throw new Error('the catalogue was accepted');
    return error.problems.map(({ line, path, message }) => `${line}: ${path}: ${message}`);
  }

  function idsOf({ providers }: Catalogue, suffix: string): string[] {
    const all = [...providers.values()].flatMap(({ requirements }) => requirements);
    return all.map(({ id }) => id).filter((id) => id.endsWith(`.${suffix}`));
  }

  const everybody = ['calico', 'canal', 'cilium', 'flannel', 'kitewire', 'weave'];

  test('is a requirement of each, also of those that an operator adds', async () => {
    const catalogue = await load(common());
    expect(idsOf(catalogue, 'forward')).toEqual(everybody.map((name) => `${name}.forward`));
    const { requirements } = resolveProvider(catalogue, { provider: 'kitewire' });
    expect(requirements.find(({ id }) => id === 'kitewire.forward')).toEqual({
      id: 'kitewire.forward',
      kind: 'sysctl',
      level: 'recommended',
      scope: 'node',
      direction: 'both',
      params: { key: 'net/ipv4/ip_forward', values: ['1'], absent: 'fail' },
      purpose: 'A node forwards.',
      source: ['https://forward.example/'],
      disputed: [],
      origins: {},
    });
  });

  test('is replaced by suffix, and what nobody replaced stays', async () => {
    const catalogue = await load(common({ suffix: 'agreement-mtu' }));
    const { providers } = catalogue;
    expect(catalogue.common.size).toBe(builtIn.common.size);
    for (const { provider, requirements } of providers.values()) {
      const found = requirements.filter(({ id }) => id === `${provider}.agreement-mtu`);
      expect(found.map(({ kind }) => kind)).toEqual(['sysctl']);
    }
  });

  test('is not added to a provider that has the id in its own file', async () => {
    const catalogue = await load(common({ suffix: 'control' }));
    const [kinds] = ['kitewire', 'canal'].map((name) =>
      catalogue.providers
        .get(name)
        ?.requirements.filter(({ id }) => id === `${name}.control`)
        .map(({ kind }) => kind),
    );
    expect(kinds).toEqual(['tcp-port']);
    expect(idsOf(catalogue, 'control')).toEqual(everybody.map((name) => `${name}.control`));
  });

  test('leaves what the files say as it is', async () => {
    const { written } = await load(common());
    const text = await readFile(join(invented, 'kitewire.yaml'), 'utf8');
    const ids = [...text.matchAll(/^ {2}- id: (\S+)$/gm)].map(([, id]) => id);
    expect(written.get('kitewire')?.requirements.map(({ id }) => id)).toEqual(ids);
  });

  test.each([
    {
      name: 'when, on an option that only Cilium has',
      condition: { when: '{ netkit: true }' },
      set: { netkit: 'true' },
      want: { kitewire: false, cilium: true },
    },
    {
      name: 'unless, on an option that only Cilium has',
      condition: { unless: '{ netkit: true }' },
      set: { netkit: 'true' },
      want: { kitewire: true, cilium: false },
    },
  ])('asks $name', async ({ condition, set, want }) => {
    const catalogue = await load(common(condition));
    const has = (provider: string, options: Readonly<Record<string, string>>): boolean =>
      resolveProvider(catalogue, { provider, set: options }).requirements.some(
        ({ id }) => id === `${provider}.forward`,
      );
    expect({ kitewire: has('kitewire', {}), cilium: has('cilium', set) }).toEqual(want);
  });

  test.each([
    {
      name: 'two of one suffix',
      lines: [common(), common()],
      want: ['9: requirements[1].suffix: forward is there twice'],
    },
    {
      name: 'an id in place of the suffix',
      lines: [common({ suffix: 'canal.forward' })],
      want: ['2: requirements[0].suffix: "canal.forward" does not match ^[a-z0-9]+(-[a-z0-9]+)*$'],
    },
    {
      name: 'an option that no provider has',
      lines: [common({ when: '{ familly: ipv6 }' })],
      want: [/^9: requirements\[0\]\.when\.familly: no provider fits it: unknown option "familly"/],
    },
    {
      name: 'a value that the option has with no provider',
      lines: [common({ unless: '{ netkit: 7 }' })],
      want: [/^9: requirements\[0\]\.unless\.netkit: no provider fits it: /],
    },
    {
      name: 'a number of an option',
      lines: [
        common({ kind: 'tcp-port', scope: 'peer', params: '{ port: { option: tunnelPort } }' }),
      ],
      want: [/^6: requirements\[0\]\.params\.port: unknown option "tunnelPort"/],
    },
    {
      name: 'a scope in which the kind cannot be tested',
      lines: [common({ scope: 'peer' })],
      want: ['5: requirements[0].scope: sysctl is tested with scope node, not peer'],
    },
    {
      name: 'a kind that does not exist',
      lines: [common({ kind: 'sysctrl' })],
      want: [/^3: requirements\[0\]\.kind: unknown kind "sysctrl"; did you mean sysctl\?/],
    },
    {
      name: 'a group, of which every provider would have one member',
      lines: [common({ anyOf: 'group' })],
      want: [/^9: requirements\[0\]\.anyOf: unknown field anyOf/],
    },
  ])('refuses $name', async ({ lines, want }) => {
    const problems = await problemsOf(...lines);
    expect(problems).toHaveLength(want.length);
    for (const [index, expected] of want.entries()) {
      if (typeof expected === 'string') expect(problems[index]).toBe(expected);
      else expect(problems[index]).toMatch(expected);
    }
  });

  test('is listed for people after what is the own of a provider', async () => {
    const text = describeProvider(await load(common()), 'kitewire', { format: 'text', width: 100 });
    const lines = text.split('\n');
    const place = (start: string): number => lines.findIndex((line) => line.startsWith(start));
    expect(place('  kitewire.strings')).toBeGreaterThan(place('Requirements'));
    expect(place('Requirements of every provider')).toBeGreaterThan(place('  kitewire.strings'));
    expect(place('  kitewire.forward')).toBeGreaterThan(place('Requirements of every provider'));
    expect(lines.filter((line) => /^ {2}kitewire\.forward( |$)/.test(line))).toHaveLength(1);
  });
});

describe('the network devices of a provider', () => {
  test('are told for each of the built-in ones', async () => {
    const { providers } = await loadCatalogue();
    for (const { provider, interfaces = [], detect } of providers.values()) {
      expect(interfaces.length, provider).toBeGreaterThan(0);
      // What betrays a provider is its own.
      for (const { name } of detect.links) {
        const covered = interfaces.some((pattern) =>
          pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern,
        );
        expect(covered, `${provider}: ${name}`).toBe(true);
      }
    }
  });

  test('go with the resolved provider, and are none where its file names none', async () => {
    const catalogue = await loadCatalogue({ directories: [invented] });
    const of = (provider: string): readonly string[] =>
      resolveProvider(catalogue, { provider }).interfaces;
    expect(of('weave')).toEqual(['datapath', 'vethwe*', 'vxlan-6784', 'weave']);
    expect(of('kitewire')).toEqual([]);
  });
});
