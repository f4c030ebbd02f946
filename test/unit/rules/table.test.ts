import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { loadCatalogue } from '../../../rules/load.ts';
import { comparisonTable } from '../../../rules/table.ts';

const invented = fileURLToPath(new URL('../../fixtures/rules/invented/', import.meta.url));

/** The table of Rancher's page as it stands there (August 2024). */
const seed = `
Provider | Network Model | Route Distribution | Network Policies | Mesh | External Datastore | Encryption | Ingress/Egress Policies |
Canal | Encapsulated (VXLAN) | No | Yes | No | K8s API | Yes | Yes |
Flannel | Encapsulated (VXLAN) | No | No | No | K8s API | Yes | No |
Calico | Encapsulated (VXLAN,IPIP) OR Unencapsulated | Yes | Yes | Yes | Etcd and K8s API | Yes | Yes |
Weave | Encapsulated | Yes | Yes | Yes | No | Yes | Yes |
Cilium | Encapsulated (VXLAN) | Yes | Yes | Yes | Etcd and K8s API | Yes | Yes |
`;

test('the comparison table is the seed’s, cell for cell', async () => {
  const { header, rows } = comparisonTable(await loadCatalogue());
  const text = [header, ...rows].map((cells) => `${cells.join(' | ')} |`).join('\n');
  expect(text).toBe(seed.trim());
});

test('a provider without a place comes last', async () => {
  const { rows } = comparisonTable(await loadCatalogue({ directories: [invented] }));
  expect(rows.map(([title]) => title)).toEqual([
    'Canal',
    'Flannel',
    'Calico',
    'Weave',
    'Cilium',
    'Kitewire',
  ]);
});
