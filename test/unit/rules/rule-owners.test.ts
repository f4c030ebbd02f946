import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { CatalogueError, loadCatalogue } from '../../../rules/load.ts';
import { adviceAgainst, isNeeded, restoringCommands } from '../../../rules/rule-owners.ts';
import type { Catalogue } from '../../../rules/schema.ts';

function owner(lines: Readonly<Record<string, string>> = {}): string {
  const fields = {
    title: 'Kitewire',
    chains: '[KITE-]',
    tables: '[]',
    processes: '[kited]',
    tools: '[nft]',
    restore: '[{ commands: [systemctl restart kited] }]',
    source: "['https://kitewire.example/']",
    ...lines,
  };
  return [
    'owners:',
    '  kited:',
    ...Object.entries(fields).map(([key, value]) => `    ${key}: ${value}`),
  ]
    .map((line) => `${line}\n`)
    .join('');
}

describe('owners of firewall rules', () => {
  const directories: string[] = [];
  let builtIn: Catalogue;
  beforeAll(async () => {
    builtIn = await loadCatalogue();
  });
  afterEach(async () => {
    for (const directory of directories.splice(0)) await rm(directory, { recursive: true });
  });

  async function load(text: string): Promise<Catalogue> {
    const directory = await mkdtemp(join(tmpdir(), 'cni-preflight-owners-'));
    directories.push(directory);
    await writeFile(join(directory, 'rule-owners.yaml'), text);
    return await loadCatalogue({ base: builtIn, directories: [directory] });
  }

  test('every built-in provider that writes rules has one, and kube-proxy and portmap are everybody’s', () => {
    const needed = (provider: string): string[] =>
      [...builtIn.ruleOwners.owners]
        .filter(([, one]) => isNeeded(one, { provider, distribution: 'upstream', options: {} }))
        .map(([name]) => name)
        .sort();
    expect(needed('calico')).toEqual(['calico', 'kube-proxy', 'portmap']);
    expect(needed('canal')).toEqual(['calico', 'flannel', 'kube-proxy', 'portmap']);
    expect(needed('cilium')).toEqual(['cilium', 'kube-proxy', 'portmap']);
    expect(needed('flannel')).toEqual(['flannel', 'kube-proxy', 'portmap']);
    expect(needed('weave')).toEqual(['kube-proxy', 'portmap', 'weave']);
    expect(needed('kitewire')).toEqual(['kube-proxy', 'portmap']);
  });

  test('every built-in owner tells how it comes back, wherever it is needed', () => {
    for (const [name, one] of builtIn.ruleOwners.owners) {
      for (const { provider, distributions } of builtIn.providers.values()) {
        for (const distribution of distributions) {
          const node = { provider, distribution, options: {} };
          if (!isNeeded(one, node)) continue;
          expect(restoringCommands(one, node), `${name} ${provider} ${distribution}`).not.toEqual(
            [],
          );
        }
      }
      for (const source of one.source) expect(source, name).toMatch(/^https:\/\/\S+$/);
    }
  });

  test.each([
    { process: 'firewalld', want: 'firewalld 2.0' },
    { process: 'nft', want: 'flush ruleset' },
    { process: 'iptables-restore', want: '--noflush' },
    { process: 'ip6tables-legacy', want: '--noflush' },
    { process: 'kited', want: undefined },
  ])('what helps against $process', ({ process, want }) => {
    const advice = adviceAgainst(process, builtIn.ruleOwners);
    if (want === undefined) expect(advice).toBeUndefined();
    else expect(advice).toContain(want);
  });

  test('an operator adds one, and replaces one by its name', async () => {
    const added = await load(owner());
    expect(added.ruleOwners.owners.size).toBe(builtIn.ruleOwners.owners.size + 1);
    expect(added.ruleOwners.owners.get('kited')?.chains).toEqual(['KITE-']);
    expect(added.ruleOwners.removers).toEqual(builtIn.ruleOwners.removers);

    const replaced = await load(owner().replace('  kited:', '  kube-proxy:'));
    expect(replaced.ruleOwners.owners.size).toBe(builtIn.ruleOwners.owners.size);
    expect(replaced.ruleOwners.owners.get('kube-proxy')?.title).toBe('Kitewire');
  });

  test.each([
    {
      name: 'a provider that is not there',
      text: owner({ when: '{ provider: [canal, kitwire] }' }),
      want: /^owners\.kited\.when\.provider: unknown provider "kitwire" \(valid: calico, /,
    },
    {
      name: 'an option that no provider has',
      text: owner({ unless: '{ kubeProxy: true }' }),
      want: /^owners\.kited\.unless\.kubeProxy: no provider fits it: unknown option "kubeProxy"/,
    },
    {
      name: 'the same, of a way back',
      text: owner({ restore: '[{ when: { distribution: rke9 }, commands: [x] }]' }),
      want: /^owners\.kited\.restore\[0\]\.when\.distribution: no provider fits it: unknown distribution "rke9"/,
    },
    {
      name: 'rules that nothing tells',
      text: owner({ chains: '[]' }),
      want: /^owners\.kited: nothing tells its rules: it names neither chains nor tables$/,
    },
    {
      name: 'a name that every chain begins with',
      text: owner({ chains: "['']" }),
      want: /^owners\.kited\.chains\[0\]: "" has fewer than 1 characters$/,
    },
    {
      name: 'no way back',
      text: owner({ restore: '[]' }),
      want: /^owners\.kited\.restore: the list is empty$/,
    },
  ])('refuses $name', async ({ text, want }) => {
    const error = await load(text).catch((thrown: unknown) => thrown);
    if (!(error instanceof CatalogueError)) throw new Error('the catalogue was accepted');
    const [problem, ...others] = error.problems.map(({ path, message }) => `${path}: ${message}`);
    expect(others).toEqual([]);
    expect(problem).toMatch(want);
  });
});
