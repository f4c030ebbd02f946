/** @module The VXLAN device of a node is not what its peers believe. */
import { type Fault, type Scene, type Truth } from '../fault.ts';

function tunnelFault(name: string, about: string, inject: (scene: Scene) => Promise<Truth>): Fault {
  return { name, about, protocols: ['vxlan'], families: ['ipv4'], inject };
}

/** The two ends speak differently, and which of them is wrong nobody can tell. */
function disagreement(): Truth {
  return {
    outcome: 'fail',
    topic: 'agreement',
    node: 'receiver',
    orNode: 'sender',
    where: ['node'],
    reasons: ['peer-disagrees'],
    ambiguous: true,
    spread: { paths: 'sender', topics: ['agreement', 'overlay', 'vxlan', 'size'] },
  };
}

function makeTunnelUntilUndone(
  { world, undo }: Scene,
  node: string,
  change: Parameters<typeof world.overlay.makeTunnel>[1],
): Promise<void> {
  undo(async () => {
    await world.overlay.makeTunnel(node);
  });
  return world.overlay.makeTunnel(node, change);
}

export const overlayFaults: readonly Fault[] = [
  tunnelFault('vni-differs', "the sender's VXLAN device has another VNI", async (scene) => {
    await makeTunnelUntilUndone(scene, scene.sender.name, {
      vni: 10_000 + scene.random.integer(1, 999),
    });
    return disagreement();
  }),
  tunnelFault(
    'tunnel-port-differs',
    "the sender's VXLAN device has another UDP port",
    async (scene) => {
      await makeTunnelUntilUndone(scene, scene.sender.name, {
        port: 32_001 + scene.random.integer(1, 99),
      });
      return disagreement();
    },
  ),
  tunnelFault('tunnel-down', "the sender's VXLAN device is down", async (scene) => {
    await makeTunnelUntilUndone(scene, scene.sender.name, {});
    await scene.sender.ip(['link set flannel.1 down']);
    return {
      outcome: 'fail',
      topic: 'overlay',
      node: 'sender',
      where: ['node'],
      reasons: ['no-route', 'tunnel-down'],
      spread: { paths: 'sender', topics: ['overlay', 'agreement'] },
    };
  }),
  tunnelFault(
    'vtep-mac',
    "the receiver's VXLAN device has another MAC than its peers know",
    async (scene) => {
      await makeTunnelUntilUndone(scene, scene.receiver.name, { mac: '02:00:00:00:bb:0f' });
      return {
        outcome: 'fail',
        topic: 'overlay',
        node: 'receiver',
        orNode: 'sender',
        where: ['node', 'receiver-ingress'],
        reasons: ['wrong-vtep-mac', 'wrong-link-layer-address'],
        spread: { paths: 'pair', topics: ['overlay'] },
      };
    },
  ),
  tunnelFault(
    'stale-fdb',
    'the sender sends to a tunnel endpoint that the receiver no longer is',
    async (scene) => {
      const { world, sender, receiver, other } = scene;
      const { mac } = world.overlay.on(receiver.name);
      await makeTunnelUntilUndone(scene, sender.name, {});
      await sender.exec('bridge', [
        'fdb',
        'replace',
        mac,
        'dev',
        'flannel.1',
        'dst',
        other.address4,
      ]);
      return {
        outcome: 'fail',
        topic: 'overlay',
        node: 'sender',
        where: ['node'],
        reasons: ['stale-fdb', 'stale-forwarding-entry'],
        spread: { paths: 'pair', topics: ['overlay'] },
      };
    },
  ),
];
