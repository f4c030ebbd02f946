import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { detectProviders, filesToLookFor, type LinkFact } from '../../../rules/detect.ts';
import { loadCatalogue } from '../../../rules/load.ts';
import { resolveProvider } from '../../../rules/resolve.ts';
import type { Catalogue } from '../../../rules/schema.ts';

const invented = fileURLToPath(new URL('../../fixtures/rules/invented/', import.meta.url));
const nodeLinks: readonly LinkFact[] = [{ name: 'lo' }, { name: 'eth0', mtu: 1500 }];
const flannel1: LinkFact = {
  name: 'flannel.1',
  kind: 'vxlan',
  port: 8472,
  vni: 1,
  mtu: 1450,
  external: false,
};
const cali: LinkFact = { name: 'cali12d4a061371', kind: 'veth', mtu: 1450 };
const vxlanCalico: LinkFact = {
  name: 'vxlan.calico',
  kind: 'vxlan',
  port: 4789,
  vni: 4096,
  mtu: 1450,
};
const tunl0: LinkFact = { name: 'tunl0', kind: 'ipip', mtu: 1480 };

describe('detectProviders', () => {
  let catalogue: Catalogue;
  beforeAll(async () => {
    catalogue = await loadCatalogue({ directories: [invented] });
  });

  test.each<{
    name: string;
    files?: string[];
    links?: LinkFact[];
    want: { provider: string; options: Record<string, unknown> }[];
  }>([
    { name: 'a bare node runs nothing', want: [] },
    {
      name: 'flannel.1 and cali* without cni0 are Canal',
      links: [flannel1, cali],
      want: [
        {
          provider: 'canal',
          options: { encapsulation: 'vxlan', tunnelPort: 8472, vni: 1, mtu: 1450 },
        },
      ],
    },
    {
      name: 'flannel.1 and cni0 are Flannel',
      links: [flannel1, { name: 'cni0', kind: 'bridge' }],
      want: [
        {
          provider: 'flannel',
          options: { encapsulation: 'vxlan', tunnelPort: 8472, vni: 1, mtu: 1450 },
        },
      ],
    },
    {
      name: 'flannel.1 alone is Flannel: cni0 comes with the first pod',
      links: [flannel1],
      want: [
        {
          provider: 'flannel',
          options: { encapsulation: 'vxlan', tunnelPort: 8472, vni: 1, mtu: 1450 },
        },
      ],
    },
    {
      name: 'rke2’s flannel is told by its device, port and VNI included',
      links: [{ ...flannel1, name: 'flannel.4096', port: 4789, vni: 4096 }],
      want: [
        {
          provider: 'flannel',
          options: { encapsulation: 'vxlan', tunnelPort: 4789, vni: 4096, mtu: 1450 },
        },
      ],
    },
    {
      name: 'a second device for IPv6 means dual stack',
      links: [flannel1, { ...flannel1, name: 'flannel-v6.1' }],
      want: [
        {
          provider: 'flannel',
          options: {
            encapsulation: 'vxlan',
            ipFamily: 'dual',
            tunnelPort: 8472,
            vni: 1,
            mtu: 1450,
          },
        },
      ],
    },
    {
      name: 'flannel.ipip is not VXLAN',
      links: [{ name: 'flannel.ipip', kind: 'ipip', mtu: 1480 }],
      want: [{ provider: 'flannel', options: { encapsulation: 'ipip', mtu: 1480 } }],
    },
    {
      name: 'cali* without flannel is Calico, and tunl0 then means IP-in-IP',
      links: [cali, tunl0],
      want: [{ provider: 'calico', options: { encapsulation: 'ipip', mtu: 1480 } }],
    },
    {
      name: 'vxlan.calico beats tunl0, which is left over from any ipip module',
      links: [tunl0, vxlanCalico, cali],
      want: [
        {
          provider: 'calico',
          options: { encapsulation: 'vxlan', tunnelPort: 4789, vni: 4096, mtu: 1450 },
        },
      ],
    },
    { name: 'tunl0 alone betrays nobody', links: [tunl0], want: [] },
    {
      name: 'Cilium’s external device has no VNI to read',
      links: [
        { name: 'cilium_host' },
        { name: 'cilium_vxlan', kind: 'vxlan', port: 8473, external: true },
        { name: 'lxc_health' },
      ],
      want: [{ provider: 'cilium', options: { encapsulation: 'vxlan', tunnelPort: 8473 } }],
    },
    {
      name: 'lxc* alone betrays nobody: LXC names its devices so',
      links: [{ name: 'lxcbr0' }],
      want: [],
    },
    {
      name: 'Weave',
      links: [{ name: 'weave', kind: 'bridge', mtu: 1376 }, { name: 'vethwe-bridge' }],
      want: [{ provider: 'weave', options: { mtu: 1376 } }],
    },
    {
      name: 'the configuration file is enough, and decides where devices could be of two',
      files: ['/etc/cni/net.d/10-canal.conflist'],
      links: [flannel1, { name: 'cni0', kind: 'bridge' }, cali],
      want: [
        {
          provider: 'canal',
          options: { encapsulation: 'vxlan', tunnelPort: 8472, vni: 1, mtu: 1450 },
        },
      ],
    },
    {
      name: 'of two, the one with file and device comes first',
      files: ['/etc/cni/net.d/10-flannel.conflist', '/etc/cni/net.d/05-cilium.conflist'],
      links: [{ name: 'cilium_host' }],
      want: [
        { provider: 'cilium', options: {} },
        { provider: 'flannel', options: {} },
      ],
    },
    {
      name: 'k3s has its configuration elsewhere',
      files: ['/var/lib/rancher/k3s/agent/etc/cni/net.d/10-flannel.conflist'],
      want: [{ provider: 'flannel', options: {} }],
    },
    {
      name: 'an invented provider is found like any other',
      links: [{ name: 'kite7', port: 7777 }],
      want: [{ provider: 'kitewire', options: { tunnelPort: 7777 } }],
    },
  ])('$name', ({ files = [], links = [], want }) => {
    const found = detectProviders(catalogue, {
      files: new Set(files),
      links: [...nodeLinks, ...links],
    });
    expect(found.map(({ provider, options }) => ({ provider, options }))).toEqual(want);
  });

  test('says what betrayed the provider and which device told each option', () => {
    const [canal] = detectProviders(catalogue, {
      files: new Set(['/etc/cni/net.d/10-canal.conflist']),
      links: [flannel1, cali],
    });
    expect(canal?.evidence).toEqual(['file /etc/cni/net.d/10-canal.conflist', 'device flannel.1']);
    expect(canal?.origins).toEqual({
      encapsulation: 'device flannel.1',
      tunnelPort: 'device flannel.1',
      vni: 'device flannel.1',
      mtu: 'device flannel.1',
    });
  });

  test('what was detected resolves, and the finding can say where its port came from', () => {
    const [detected] = detectProviders(catalogue, {
      files: new Set(),
      links: [{ ...flannel1, port: 8473 }],
    });
    const { requirements } = resolveProvider(catalogue, { provider: 'flannel', detected });
    const vxlan = requirements.find(({ id }) => id === 'flannel.vxlan');
    expect(vxlan?.params).toEqual({ port: 8473, payload: 'vxlan' });
    expect(vxlan?.origins).toEqual({ tunnelPort: 'device flannel.1' });
  });

  test('filesToLookFor lists every file that could betray a provider', () => {
    const files = filesToLookFor(catalogue);
    expect(files).toContain('/run/flannel/subnet.env');
    expect(files).toContain('/etc/cni/net.d/10-kitewire.conflist');
    expect(files).toEqual([...new Set(files)].sort());
  });
});
