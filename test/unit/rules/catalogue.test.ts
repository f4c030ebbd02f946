import { readdir, readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { loadCatalogue } from '../../../rules/load.ts';
import { resolveProvider } from '../../../rules/resolve.ts';
import { type Catalogue, type CatalogueRequirement, kinds } from '../../../rules/schema.ts';

describe('the built-in catalogue', () => {
  let catalogue: Catalogue;
  let requirements: CatalogueRequirement[];
  beforeAll(async () => {
    catalogue = await loadCatalogue();
    requirements = [...catalogue.providers.values()].flatMap((provider) => provider.requirements);
  });

  test('ids are unique, and sorted in each file', () => {
    const ids = requirements.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const provider of catalogue.providers.values()) {
      const own = provider.requirements.map(({ id }) => id);
      expect(own).toEqual([...own].sort());
      expect(own.every((id) => id.startsWith(`${provider.provider}.`))).toBe(true);
    }
  });

  test('every source is an address', () => {
    for (const { id, source } of requirements) {
      expect(source.length, id).toBeGreaterThan(0);
      for (const text of source) expect(text, id).toMatch(/^https:\/\/[^\s]+( \([^)]+\))?$/);
    }
  });

  test('every purpose is a sentence', () => {
    for (const { id, purpose } of requirements) expect(purpose, id).toMatch(/^[A-Za-z].{9,}\.$/);
  });

  test('every kind of requirement is used', () => {
    // The last one is made of those with a port or protocol, and none is written.
    const written = requirements.map(({ kind }) => kind);
    expect(new Set([...written, 'host-firewall'])).toEqual(new Set(kinds));
  });

  test('every kernel feature is asked for by someone', () => {
    const asked = new Set(requirements.map(({ params }) => params['feature']));
    expect([...catalogue.features.keys()].filter((name) => !asked.has(name))).toEqual([]);
  });

  test('every dispute of the sources is recorded', () => {
    const disputes = [...catalogue.providers.values()].flatMap((provider) => [
      ...(provider.disputed ?? []),
      ...Object.values(provider.options).flatMap(({ disputed = [] }) => disputed),
      ...provider.requirements.flatMap(({ disputed = [] }) => disputed),
    ]);
    for (const text of disputes) expect(text).toMatch(/^D\d+: .{30,}\.$/);
    const numbers = new Set(disputes.map((text) => text.split(':')[0]));
    expect(numbers).toEqual(new Set(Array.from({ length: 20 }, (_, index) => `D${index + 1}`)));
  });

  test('every provider tells whether a host answers at all', () => {
    for (const { provider } of catalogue.providers.values()) {
      const echo = requirements.filter(
        ({ id, kind }) => kind === 'icmp-echo' && id.startsWith(provider),
      );
      expect(echo.map(({ id }) => id)).toContain(`${provider}.icmp`);
    }
  });

  test('ports that belong on localhost never fail a node for being closed', () => {
    const local = requirements.filter(({ scope }) => scope === 'host-local');
    expect(local.map(({ id }) => id)).toEqual(
      expect.arrayContaining([
        'canal.felix-health',
        'calico.felix-health',
        'calico.typha-health',
        'weave.http',
        'cilium.agent-health',
        'cilium.envoy-health',
      ]),
    );
    for (const { id, level } of local) expect(level, id).not.toBe('required');
  });

  test('what a provider sets itself is not required beforehand', () => {
    for (const { id, kind, params, level } of requirements) {
      // Asked only once the provider has made its devices.
      if (kind === 'forwarding') continue;
      if (params['setBy'] !== undefined) expect(level, id).not.toBe('required');
    }
  });

  test('either ICMP or TCP 4240 is enough for Cilium', () => {
    const group = requirements.filter(({ anyOf }) => anyOf === 'cilium.health');
    expect(group.map(({ id, level }) => [id, level])).toEqual([
      ['cilium.health-tcp', 'recommended'],
      ['cilium.icmp', 'recommended'],
    ]);
  });

  test('one open direction is enough where one end of a connection may be passive', () => {
    const either = requirements.filter(({ direction }) => direction === 'either');
    expect(either.map(({ id }) => id)).toEqual(['calico.bgp', 'cilium.bgp', 'weave.control']);
  });

  test('every tunnel port has an owner and a device conflict beside it, under the same condition', () => {
    for (const tunnel of [
      'canal.vxlan',
      'flannel.vxlan',
      'calico.vxlan',
      'cilium.vxlan',
      'cilium.geneve',
    ]) {
      const find = (id: string): CatalogueRequirement | undefined =>
        requirements.find((requirement) => requirement.id === id);
      expect(find(`${tunnel}-owner`)?.when, tunnel).toEqual(find(tunnel)?.when);
      expect(find(`${tunnel}-device`)?.when, tunnel).toEqual(find(tunnel)?.when);
    }
  });

  test('every encapsulated mode has a path MTU, a latency limit and an agreement', () => {
    for (const { provider, options, distributions } of catalogue.providers.values()) {
      for (const encapsulation of options['encapsulation']?.values ?? []) {
        const native = ['none', 'host-gw', 'sleeve'].includes(String(encapsulation));
        for (const distribution of distributions) {
          const set = { encapsulation: String(encapsulation) };
          const resolved = resolveProvider(catalogue, { provider, distribution, set });
          const found = resolved.requirements.map(({ kind }) => kind);
          const where = `${provider} ${String(encapsulation)} ${distribution}`;
          expect(found.filter((kind) => kind === 'path-mtu').length, where).toBe(
            encapsulation === 'sleeve' ? 0 : 1,
          );
          expect(found.filter((kind) => kind === 'peer-agreement').length, where).toBe(2);
          if (!native) expect(found, where).toContain('latency');
        }
      }
    }
  });

  test('every file tells editors its schema', async () => {
    const folder = new URL('../../../rules/providers/', import.meta.url);
    const common = new URL('../common.yaml', folder);
    expect((await readFile(common, 'utf8')).split('\n')[0]).toBe(
      '# yaml-language-server: $schema=./common.schema.json',
    );
    for (const name of await readdir(folder)) {
      const [first] = (await readFile(new URL(name, folder), 'utf8')).split('\n');
      expect(first).toBe('# yaml-language-server: $schema=../provider.schema.json');
      expect(name).toBe(`${catalogue.providers.get(name.replace('.yaml', ''))?.provider}.yaml`);
    }
  });
});
