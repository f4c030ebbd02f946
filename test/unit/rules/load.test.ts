import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { CatalogueError, loadCatalogue } from '../../../rules/load.ts';
import { kinds } from '../../../rules/schema.ts';

const invented = fixture('invented');
/** Stands for the built-in catalogue, which takes long to read, where what is in it does not matter. */
const builtIn = fixture('small');

function fixture(name: string): string {
  return fileURLToPath(new URL(`../../fixtures/rules/${name}/`, import.meta.url));
}

describe('loadCatalogue', () => {
  const directories: string[] = [];
  afterEach(async () => {
    for (const directory of directories.splice(0)) await rm(directory, { recursive: true });
  });

  async function directoryWith(files: Readonly<Record<string, string>>): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), 'cni-preflight-rules-'));
    directories.push(directory);
    for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
    return directory;
  }

  /** The invented provider with one place of its text changed, which must be there. */
  async function changed(from: string, to: string): Promise<string> {
    const text = await readFile(join(invented, 'kitewire.yaml'), 'utf8');
    expect(text).toContain(from);
    return text.replace(from, to);
  }

  async function problemsOf(directory: string): Promise<string[]> {
    const error = await loadCatalogue({ builtIn, directories: [directory] }).catch(
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof CatalogueError)) throw new Error('the catalogue was accepted');
    expect(error.code).toBe('CATALOGUE_INVALID');
    return error.message.split('\n').map((line) => line.replaceAll(`${directory}/`, ''));
  }

  test('the built-in catalogue has the five providers', async () => {
    const { providers } = await loadCatalogue();
    expect([...providers.keys()]).toEqual(['calico', 'canal', 'cilium', 'flannel', 'weave']);
  });

  test('a provider is one data file and no code', async () => {
    const { providers, written, features } = await loadCatalogue({ directories: [invented] });
    expect(written.get('kitewire')?.requirements).toHaveLength(3);
    expect(features.get('kitewire')?.modules).toEqual(['kitewire']);
    expect(providers.has('canal')).toBe(true);
  });

  test('a provider of a name that was there before replaces it as a whole', async () => {
    const text = (await changed('provider: kitewire', 'provider: canal'))
      .replaceAll('id: kitewire.', 'id: canal.')
      .replace('feature: kitewire', 'feature: vxlan');
    const { providers, written } = await loadCatalogue({
      directories: [await directoryWith({ 'canal.yaml': text })],
    });
    expect(providers.get('canal')?.title).toBe('Kitewire');
    expect(written.get('canal')?.requirements.map(({ id }) => id)).toEqual([
      'canal.control',
      'canal.module',
      'canal.strings',
    ]);
    expect(providers.size).toBe(5);
  });

  test('files may lie in a folder providers, as the built-in ones do', async () => {
    const directory = await directoryWith({
      'features.yaml': await readFile(join(invented, 'features.yaml'), 'utf8'),
    });
    await mkdir(join(directory, 'providers'));
    await writeFile(
      join(directory, 'providers', 'kitewire.yaml'),
      await readFile(join(invented, 'kitewire.yaml'), 'utf8'),
    );
    const { providers } = await loadCatalogue({ directories: [directory] });
    expect(providers.has('kitewire')).toBe(true);
  });

  test.each([
    {
      name: 'a level that does not exist',
      from: 'level: recommended',
      to: 'level: urgent',
      want: 'kitewire.yaml:43: requirements[1].level: "urgent" is not one of required, recommended, info',
    },
    {
      name: 'a misspelt field',
      from: 'purpose: Wire',
      to: 'purpuse: Wire',
      want: [
        'kitewire.yaml:41: requirements[1]: purpose is missing',
        'kitewire.yaml:47: requirements[1].purpuse: unknown field purpuse; did you mean purpose? (valid: id, level, scope, direction, peerRole, when, unless, purpose, seed, source, disputed, anyOf, kind, params)',
      ],
    },
    {
      name: 'a kind that no check tests',
      from: 'kind: udp-port',
      to: 'kind: udp-prot',
      want: `kitewire.yaml:50: requirements[2].kind: unknown kind "udp-prot"; did you mean udp-port? (valid: ${kinds.join(', ')})`,
    },
    {
      name: 'a param of the wrong type',
      from: 'payload: zero',
      to: 'payload: 0',
      want: 'kitewire.yaml:53: requirements[2].params.payload: 0 is not one of vxlan, geneve, zero',
    },
    {
      name: 'two requirements of one id',
      from: 'id: kitewire.strings',
      to: 'id: kitewire.control',
      want: 'kitewire.yaml:49: requirements[2].id: kitewire.control is there twice',
    },
    {
      name: 'an id of another provider',
      from: 'id: kitewire.strings',
      to: 'id: canal.strings',
      want: 'kitewire.yaml:49: requirements[2].id: canal.strings does not start with kitewire.',
    },
    {
      name: 'an option that does not exist, in a condition',
      from: 'unless: { encapsulation: hemp }',
      to: 'unless: { encapsulaton: hemp }',
      want: 'kitewire.yaml:45: requirements[1].unless.encapsulaton: unknown option "encapsulaton"; did you mean encapsulation? (valid: encapsulation, tunnelPort)',
    },
    {
      name: 'an option that does not exist, in params',
      from: 'option: tunnelPort, plus: 1',
      to: 'option: constructor, plus: 1',
      want: 'kitewire.yaml:38: requirements[0].params.port: unknown option "constructor" (valid: encapsulation, tunnelPort)',
    },
    {
      name: 'a text option where a port is needed',
      from: 'option: tunnelPort, plus: 1',
      to: 'option: encapsulation',
      want: 'kitewire.yaml:38: requirements[0].params.port: option encapsulation is not of type port',
    },
    {
      name: 'a condition on a value that the option cannot have',
      from: 'unless: { encapsulation: hemp }',
      to: 'unless: { encapsulation: [hemp, silk] }',
      want: 'kitewire.yaml:45: requirements[1].unless.encapsulation: unknown value "silk" (valid: hemp, wire)',
    },
    {
      name: 'a condition on a distribution that the provider does not come with',
      from: 'unless: { encapsulation: hemp }',
      to: 'unless: { distribution: rke }',
      want: 'kitewire.yaml:45: requirements[1].unless.distribution: unknown distribution "rke"; did you mean rke2? (valid: upstream, rke2)',
    },
    {
      name: 'a port that does not exist',
      from: 'port: { option: tunnelPort }, payload',
      to: 'port: 65536, payload',
      want: 'kitewire.yaml:53: requirements[2].params.port: 65536 is not a port (1 to 65535)',
    },
    {
      name: 'a group of one',
      from: 'scope: node',
      to: 'scope: node\n    anyOf: kitewire.group',
      want: 'kitewire.yaml:45: requirements[1].anyOf: group kitewire.group has no other member, so there is nothing to choose from',
    },
    {
      name: 'a default that is not among the values',
      from: 'default: hemp',
      to: 'default: silk',
      want: 'kitewire.yaml:20: options.encapsulation.default: unknown value "silk" (valid: hemp, wire)',
    },
    {
      name: 'a default port out of range for one distribution',
      from: 'rke2: 7101',
      to: 'rke2: 0',
      want: 'kitewire.yaml:25: options.tunnelPort.defaultByDistribution.rke2: 0 is not a port (1 to 65535)',
    },
    {
      name: 'a default that depends on itself',
      from: 'when: { encapsulation: wire }',
      to: 'when: { tunnelPort: 7001 }',
      want: 'kitewire.yaml:27: options.tunnelPort.defaultWhen: the default of tunnelPort depends on itself',
    },
    {
      name: 'an option read from a device that does not exist',
      from: 'read: { port: tunnelPort }',
      to: 'read: { port: tunelPort }',
      want: 'kitewire.yaml:31: detect.links[0].read.port: unknown option "tunelPort"; did you mean tunnelPort? (valid: encapsulation, tunnelPort)',
    },
    {
      name: 'a path that leaves its place',
      from: '/etc/cni/net.d/10-kitewire.conflist',
      to: '/etc/cni/../shadow',
      want: 'kitewire.yaml:29: detect.files[0]: "/etc/cni/../shadow" is not an absolute path without . or ..',
    },
    {
      name: 'a scope in which the kind cannot be tested',
      from: 'scope: node',
      to: 'scope: peer',
      want: 'kitewire.yaml:44: requirements[1].scope: kernel-feature is tested with scope node, not peer',
    },
    {
      name: 'a source that says nothing',
      from: "['https://kitewire.example/kernel']",
      to: "['']",
      want: 'kitewire.yaml:48: requirements[1].source[0]: empty',
    },
    {
      name: 'no source at all',
      from: "['https://kitewire.example/kernel']",
      to: '[]',
      want: 'kitewire.yaml:48: requirements[1].source: the list is empty',
    },
    {
      name: 'a name that is an accident of the language',
      from: '  tunnelPort:\n',
      to: '  __proto__:\n    about: None.\n    type: text\n    default: none\n  tunnelPort:\n',
      want: 'kitewire.yaml:22: options.__proto__: "__proto__" cannot name an option',
    },
  ])('refuses $name', async ({ from, to, want }) => {
    const directory = await directoryWith({
      'features.yaml': await readFile(join(invented, 'features.yaml'), 'utf8'),
      'kitewire.yaml': await changed(from, to),
    });
    expect(await problemsOf(directory)).toEqual(typeof want === 'string' ? [want] : want);
  });

  test.each([
    {
      name: 'a syntax error',
      text: 'provider: kitewire\ntitle: [Kite\nabout: x\n',
      want: /^x\.yaml:3: YAML: .*\]/,
    },
    {
      name: 'two keys of one name',
      text: 'provider: a\nprovider: b\n',
      want: /^x\.yaml:2: YAML: Map keys must be unique/,
    },
    {
      name: 'a tag',
      text: 'provider: !!js/function x\n',
      want: /^x\.yaml:1: YAML: Unresolved tag/,
    },
    {
      name: 'an alias',
      text: 'provider: &a kite\ntitle: *a\n',
      want: /^x\.yaml:2: YAML: alias \*a is not allowed$/,
    },
    {
      name: 'two documents',
      text: 'provider: a\n---\nprovider: b\n',
      want: /^x\.yaml:2: YAML: .*multiple documents/i,
    },
    { name: 'an empty file', text: '', want: /^x\.yaml(:1)?: null is not a mapping$/ },
    {
      name: 'nesting without end',
      text: '['.repeat(20_000),
      want: /^x\.yaml:1: YAML: nested too deep$/,
    },
    {
      name: 'a huge file',
      text: `# ${'x'.repeat(1024 * 1024)}\n`,
      want: /^x\.yaml: is larger than 1048576 bytes$/,
    },
  ])('refuses $name, and says where', async ({ text, want }) => {
    const problems = await problemsOf(await directoryWith({ 'x.yaml': text }));
    expect(problems[0]).toMatch(want);
  });

  test('aliases that stand for gigabytes are refused at once', async () => {
    const levels = Array.from({ length: 30 }, (_, level) =>
      level === 0
        ? 'a0: &a0 [x]'
        : `a${level}: &a${level} [${Array(9)
            .fill(`*a${level - 1}`)
            .join(', ')}]`,
    );
    const problems = await problemsOf(await directoryWith({ 'x.yaml': levels.join('\n') }));
    expect(problems).toHaveLength(29 * 9);
  });

  test('a feature that nobody defines is unknown', async () => {
    const directory = await directoryWith({
      'k.yaml': await changed('feature: kitewire', 'feature: vxlam'),
    });
    const [problem] = await problemsOf(directory);
    expect(problem).toMatch(
      /^k\.yaml:46: requirements\[1\]\.params\.feature: unknown kernel feature "vxlam"; did you mean vxlan\? \(valid: vxlan\)$/,
    );
  });

  test('a feature without evidence is refused', async () => {
    const directory = await directoryWith({
      'features.yaml': 'features:\n  magic: { about: None., modules: [], config: [] }\n',
    });
    expect(await problemsOf(directory)).toEqual([
      'features.yaml:2: features.magic: nothing proves it: it names no module, config, device, file or mount',
    ]);
  });

  test('all problems of all files are told at once', async () => {
    const directory = await directoryWith({
      'a.yaml': 'provider: A\n',
      'b.yaml': await changed('level: recommended', 'level: urgent'),
      'c.yaml': 'provider: [\n',
      'features.yaml': 'feature: {}\n',
    });
    const files = new Set((await problemsOf(directory)).map((line) => line.split(':')[0]));
    expect(files).toEqual(new Set(['a.yaml', 'b.yaml', 'c.yaml', 'features.yaml']));
  });

  test('two files of one provider in a directory are refused', async () => {
    const text = await changed('feature: kitewire', 'feature: vxlan');
    const problems = await problemsOf(await directoryWith({ 'a.yaml': text, 'b.yaml': text }));
    expect(problems).toEqual(['b.yaml:2: provider: provider kitewire is in a.yaml too']);
  });

  test('a directory that is not there is a problem, and so is one in place of a file', async () => {
    expect(await problemsOf('/nonexistent')).toEqual(['/nonexistent: cannot be read: ENOENT']);
    const directory = await directoryWith({});
    await mkdir(join(directory, 'x.yaml'));
    expect(await problemsOf(directory)).toEqual(['x.yaml: is not a regular file']);
  });
});
