import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { loadCatalogue } from '../../../rules/load.ts';
import {
  type ResolvedProvider,
  requirementIds,
  resolveProvider,
  type Selection,
  SelectionError,
  selectRequirements,
} from '../../../rules/resolve.ts';
import type { Catalogue } from '../../../rules/schema.ts';

const invented = fileURLToPath(new URL('../../fixtures/rules/invented/', import.meta.url));

describe('resolveProvider', () => {
  let catalogue: Catalogue;
  beforeAll(async () => {
    catalogue = await loadCatalogue({ directories: [invented] });
  });

  function resolve(selection: Selection): ResolvedProvider {
    return resolveProvider(catalogue, selection);
  }

  /** Port and origin of the requirement of that id, or undefined where it does not apply. */
  function portOf(selection: Selection, id: string): unknown {
    const found = resolve(selection).requirements.find((requirement) => requirement.id === id);
    if (found === undefined) return undefined;
    return { ...found.params, ...found.origins };
  }

  test.each<{ name: string; selection: Selection; id: string; want: unknown }>([
    {
      name: 'Flannel uses 8472 upstream',
      selection: { provider: 'flannel' },
      id: 'flannel.vxlan',
      want: { port: 8472, payload: 'vxlan', tunnelPort: 'default' },
    },
    {
      name: 'Flannel uses 4789 on rke2 (D2)',
      selection: { provider: 'flannel', distribution: 'rke2' },
      id: 'flannel.vxlan',
      want: { port: 4789, payload: 'vxlan', tunnelPort: 'default of rke2' },
    },
    {
      name: 'Flannel uses 4789 with Windows nodes, on any distribution',
      selection: { provider: 'flannel', distribution: 'k3s', set: { windows: 'true' } },
      id: 'flannel.vxlan',
      want: { port: 4789, payload: 'vxlan', tunnelPort: 'default with windows=true' },
    },
    {
      name: 'a default under a condition beats the default of the distribution',
      selection: { provider: 'flannel', distribution: 'rke2', set: { encapsulation: 'udp' } },
      id: 'flannel.udp',
      want: { port: 8285, payload: 'zero', tunnelPort: 'default with encapsulation=udp' },
    },
    {
      name: 'a device beats every default',
      selection: {
        provider: 'flannel',
        distribution: 'rke2',
        detected: { options: { tunnelPort: 8472 }, origins: { tunnelPort: 'device flannel.1' } },
      },
      id: 'flannel.vxlan',
      want: { port: 8472, payload: 'vxlan', tunnelPort: 'device flannel.1' },
    },
    {
      name: 'the operator beats the device',
      selection: {
        provider: 'flannel',
        set: { tunnelPort: '9000' },
        detected: { options: { tunnelPort: 8472 }, origins: { tunnelPort: 'device flannel.1' } },
      },
      id: 'flannel.vxlan',
      want: { port: 9000, payload: 'vxlan', tunnelPort: 'set by the operator' },
    },
    {
      name: 'a detected option settles the defaults that hang on it',
      selection: {
        provider: 'cilium',
        detected: { options: { encapsulation: 'geneve' }, origins: {} },
      },
      id: 'cilium.geneve',
      want: { port: 6081, payload: 'geneve', tunnelPort: 'default with encapsulation=geneve' },
    },
    {
      name: 'a device value that no option could have is left out',
      selection: { provider: 'flannel', detected: { options: { tunnelPort: 0 }, origins: {} } },
      id: 'flannel.vxlan',
      want: { port: 8472, payload: 'vxlan', tunnelPort: 'default' },
    },
    {
      name: 'Weave sends data to the port after its control port',
      selection: { provider: 'weave', set: { controlPort: '7000' } },
      id: 'weave.fastdp',
      want: { port: 7001, payload: 'vxlan', controlPort: 'set by the operator' },
    },
    {
      name: 'Canal asks for the IPv6 WireGuard port only with IPv6 (D4)',
      selection: { provider: 'canal', set: { encapsulation: 'wireguard' } },
      id: 'canal.wg6',
      want: undefined,
    },
    {
      name: 'Canal asks for the IPv6 WireGuard port in dual stack (D4)',
      selection: { provider: 'canal', set: { encapsulation: 'wireguard', ipFamily: 'dual' } },
      id: 'canal.wg6',
      want: { port: 51821, payload: 'zero', wireguardPortIpv6: 'default' },
    },
    {
      name: 'Calico asks for no BGP on rke2 (D9)',
      selection: { provider: 'calico', distribution: 'rke2' },
      id: 'calico.bgp',
      want: undefined,
    },
    {
      name: 'Calico asks for IP protocol 4 upstream (D9)',
      selection: { provider: 'calico' },
      id: 'calico.ipip',
      want: { protocol: 4 },
    },
    {
      name: 'Calico with eBPF needs VXLAN without an overlay',
      selection: { provider: 'calico', set: { encapsulation: 'none', dataplane: 'ebpf' } },
      id: 'calico.vxlan-ebpf',
      want: { port: 4789, payload: 'vxlan', tunnelPort: 'default' },
    },
    {
      name: 'Cilium needs no tunnel port with native routing',
      selection: { provider: 'cilium', set: { encapsulation: 'none' } },
      id: 'cilium.vxlan',
      want: undefined,
    },
    {
      name: 'tunnel and WireGuard add up at Cilium, whose releases differ (D16)',
      selection: { provider: 'cilium', set: { encryption: 'wireguard', release: '1.19' } },
      id: 'cilium.path-mtu-wireguard-tunnel',
      want: {
        overheadBytes: 130,
        overheadBytesIpv6: 150,
        wireguardOverhead: 'default',
      },
    },
    {
      name: 'an invented provider is resolved like any other',
      selection: { provider: 'kitewire', distribution: 'rke2' },
      id: 'kitewire.control',
      want: { port: 7102, tunnelPort: 'default of rke2' },
    },
  ])('$name', ({ selection, id, want }) => {
    expect(portOf(selection, id)).toEqual(want);
  });

  test.each([
    { release: '1.12', want: ['cilium.kernel-1-1', '>= 4.9.17'] },
    { release: '1.15', want: ['cilium.kernel-1-14', '>= 4.19.57 or rhel 4.18.0-80'] },
    { release: '1.17', want: ['cilium.kernel-1-16', '>= 5.4 or rhel 4.18.0-372'] },
    { release: '1.18', want: ['cilium.kernel-1-18', '>= 5.10 or rhel 4.18.0-372'] },
    { release: '1.20', want: ['cilium.kernel-1-19', '>= 5.10 or rhel 4.18.0-553'] },
  ])('Cilium $release has one required minimum', ({ release, want }) => {
    const { requirements } = resolve({ provider: 'cilium', set: { release } });
    const kernels = requirements.flatMap((requirement) => {
      if (requirement.kind !== 'kernel-version' || requirement.level !== 'required') return [];
      const { operator, version, backports = [] } = requirement.params;
      const vendors = backports.map(({ vendor, atLeast }) => ` or ${vendor} ${atLeast}`);
      return [requirement.id, `${operator} ${version}${vendors.join('')}`];
    });
    expect(kernels).toEqual(want);
  });

  test('the seed’s rule for Cilium is strict and recommended', () => {
    const { requirements } = resolve({ provider: 'cilium' });
    const rule = requirements.find(({ id }) => id === 'cilium.kernel-recommended');
    expect(rule?.params).toEqual({ operator: '>', version: '5.2' });
    expect(rule?.level).toBe('recommended');
  });

  test('every release and mode of every provider resolves', () => {
    for (const provider of catalogue.providers.values()) {
      for (const [name, option] of Object.entries(provider.options)) {
        for (const value of option.values ?? [true, false]) {
          if (option.type !== 'choice' && option.type !== 'boolean') continue;
          const set = { [name]: String(value) };
          const { options, origins } = resolve({ provider: provider.provider, set });
          expect(options[name]).toBe(value);
          expect(origins[name]).toBe('set by the operator');
        }
      }
    }
  });

  test.each<{ name: string; selection: Selection; want: string }>([
    {
      name: 'a provider',
      selection: { provider: 'cillium' },
      want: 'unknown provider "cillium"; did you mean cilium? (valid: calico, canal, cilium, flannel, kitewire, weave)',
    },
    {
      name: 'an option',
      selection: { provider: 'weave', set: { controlport: '1' } },
      want: 'unknown option of Weave "controlport"; did you mean controlPort? (valid: controlPort, encapsulation, encryption, mtu)',
    },
    {
      name: 'an option that is an accident of the language',
      selection: { provider: 'kitewire', set: { constructor: '1' } },
      want: 'unknown option of Kitewire "constructor" (valid: encapsulation, tunnelPort)',
    },
    {
      name: 'a value',
      selection: { provider: 'calico', set: { encapsulation: 'ipid' } },
      want: 'option encapsulation of Calico: unknown value "ipid"; did you mean ipip? (valid: vxlan, ipip, none)',
    },
    {
      name: 'a port out of range',
      selection: { provider: 'canal', set: { tunnelPort: '65536' } },
      want: 'option tunnelPort of Canal: 65536 is not a port (1 to 65535)',
    },
    {
      name: 'a port that is no number',
      selection: { provider: 'canal', set: { tunnelPort: '0x2118' } },
      want: 'option tunnelPort of Canal: "0x2118" is not a port (1 to 65535)',
    },
    {
      name: 'a port whose successor does not exist',
      selection: { provider: 'weave', set: { controlPort: '65535' } },
      want: 'option controlPort: weave.fastdp would need port 65536 (valid: up to 65535)',
    },
    {
      name: 'a negative number',
      selection: { provider: 'canal', set: { mtu: '-1' } },
      want: 'option mtu of Canal: "-1" is not a whole number of 0 or more',
    },
    {
      name: 'a boolean',
      selection: { provider: 'calico', set: { bgp: 'yes' } },
      want: 'option bgp of Calico: "yes" is neither true nor false',
    },
    {
      name: 'a distribution that has other providers',
      selection: { provider: 'weave', distribution: 'k3s' },
      want: 'Weave does not come with the distribution "k3s" (valid: rke, upstream)',
    },
    {
      name: 'a distribution that nobody has',
      selection: { provider: 'flannel', distribution: 'rke3' },
      want: 'unknown distribution of Flannel "rke3"; did you mean rke? (valid: rke, rke2, k3s, upstream)',
    },
  ])('refuses $name, and lists what would be valid', ({ selection, want }) => {
    expect(() => resolve(selection)).toThrow(new SelectionError(want));
  });
});

describe('selectRequirements', () => {
  const requirements = [
    { id: 'canal.icmp', kind: 'icmp-echo' },
    { id: 'canal.vxlan', kind: 'udp-port' },
    { id: 'canal.vxlan-path', kind: 'vxlan-path' },
  ];

  test.each([
    {
      name: 'nothing asked keeps all',
      selection: {},
      want: ['canal.icmp', 'canal.vxlan', 'canal.vxlan-path'],
    },
    { name: 'by id', selection: { only: ['canal.vxlan'] }, want: ['canal.vxlan'] },
    { name: 'by kind', selection: { only: ['vxlan-path'] }, want: ['canal.vxlan-path'] },
    {
      name: 'but not',
      selection: { ignore: ['udp-port'] },
      want: ['canal.icmp', 'canal.vxlan-path'],
    },
    {
      name: 'ignored wins over asked for',
      selection: { only: ['udp-port', 'icmp-echo'], ignore: ['canal.icmp'] },
      want: ['canal.vxlan'],
    },
    {
      name: 'an id of another mode is known, but selects nothing here',
      selection: { only: ['canal.wg4'], known: ['canal.wg4'] },
      want: [],
    },
  ])('$name', ({ selection, want }) => {
    expect(selectRequirements(requirements, selection).map(({ id }) => id)).toEqual(want);
  });

  test('a word that is neither id nor kind is refused, with the flag it came from', () => {
    expect(() => selectRequirements(requirements, { ignore: ['canal.vxlam'] })).toThrow(
      /^--ignore: unknown requirement id or kind "canal\.vxlam"; did you mean canal\.vxlan\? \(valid: canal\.icmp, canal\.vxlan, canal\.vxlan-path, kernel-version, /,
    );
    expect(() => selectRequirements(requirements, { only: ['udp-prot'] })).toThrow(
      /^--only: .*did you mean udp-port\?/,
    );
  });

  test('requirementIds knows the ids of every provider and mode', async () => {
    const ids = requirementIds(await loadCatalogue());
    expect(ids).toEqual([...ids].sort());
    expect(ids).toContain('canal.wg6');
    expect(ids).toContain('cilium.vxlan');
  });
});
