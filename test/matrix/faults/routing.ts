/** @module Routes, reverse-path filters and neighbours of the two hosts. */
import type { LabNode } from '../../support/lab.ts';
import { addressOf, type Fault, type Scene, type Truth } from '../fault.ts';

const anyProtocol = ['icmp', 'udp', 'tcp', 'vxlan', 'ipip'] as const;

/** `-6 ` for IPv6, as ip(8) wants it. */
function six({ family }: Scene): string {
  return family === 'ipv6' ? '-6 ' : '';
}

/** The receiver's address with the whole length, or the sender's. */
function host(node: LabNode, { family }: Scene): string {
  return `${addressOf(node, family)}/${family === 'ipv4' ? 32 : 128}`;
}

async function routeUntilUndone(
  scene: Scene,
  place: { ip(lines: readonly string[]): Promise<void> },
  route: string,
): Promise<void> {
  await place.ip([`${six(scene)}route add ${route}`]);
  scene.undo(async () => {
    await place.ip([`${six(scene)}route del ${route}`]);
  });
}

/** The sender's own kernel has no way to the receiver. */
function ownRoute(spread: 'pair' | 'sender' = 'pair'): Truth {
  return {
    outcome: 'fail',
    node: 'sender',
    where: ['node'],
    reasons: ['no-route'],
    spread: { paths: spread, topics: 'all' },
  };
}

function dead(kind: 'blackhole' | 'unreachable' | 'prohibit'): Fault {
  return {
    name: `route-${kind}`,
    about: `the sender has a route of type ${kind} to the receiver`,
    protocols: anyProtocol,
    async inject(scene) {
      await routeUntilUndone(scene, scene.sender, `${kind} ${host(scene.receiver, scene)}`);
      return ownRoute();
    },
  };
}

export const routingFaults: readonly Fault[] = [
  dead('blackhole'),
  dead('unreachable'),
  dead('prohibit'),
  {
    name: 'route-missing',
    about: 'the sender has no default route',
    protocols: anyProtocol,
    async inject(scene) {
      const gateway = scene.family === 'ipv4' ? scene.sender.gateway4 : scene.sender.gateway6;
      await scene.sender.ip([`${six(scene)}route del default`]);
      scene.undo(async () => {
        await scene.sender.ip([`${six(scene)}route add default via ${gateway}`]);
      });
      return ownRoute('sender');
    },
  },
  {
    name: 'gateway-absent',
    about: 'the sender routes to a gateway that nobody is',
    protocols: anyProtocol,
    async inject(scene) {
      const { ipv4, ipv6 } = scene.sender.subnets;
      const { index } = scene.sender;
      const nobody = scene.family === 'ipv4' ? `${ipv4}.${index}.77` : `${ipv6}:${index}::77`;
      await routeUntilUndone(
        scene,
        scene.sender,
        `${host(scene.receiver, scene)} via ${nobody} dev e0`,
      );
      return {
        outcome: 'fail',
        node: 'sender',
        orNode: 'path',
        where: ['node', 'path'],
        reasons: ['neighbour-unresolved'],
        spread: { paths: 'pair', topics: 'all' },
      };
    },
  },
  {
    name: 'neighbour-stale',
    about: 'the sender has a permanent neighbour entry with a wrong address for its gateway',
    protocols: anyProtocol,
    async inject(scene) {
      const gateway = scene.family === 'ipv4' ? scene.sender.gateway4 : scene.sender.gateway6;
      await scene.sender.ip([
        `neigh replace ${gateway} dev e0 lladdr 02:00:00:00:de:ad nud permanent`,
      ]);
      scene.undo(async () => {
        await scene.sender.ip([`neigh del ${gateway} dev e0`]);
      });
      // From the hosts it looks like a network that drops everything, and nobody can be asked.
      return {
        outcome: 'fail',
        node: 'path',
        where: ['path', 'node'],
        reasons: ['dropped-on-the-way', 'wrong-link-layer-address'],
        ambiguous: true,
        spread: { paths: 'sender', topics: 'all' },
      };
    },
  },
  {
    name: 'wrong-mac',
    about: 'the last router sends frames for the receiver to another link-layer address',
    protocols: ['udp', 'icmp'],
    async inject(scene) {
      const { router } = scene.world;
      const address = addressOf(scene.receiver, scene.family);
      const device = `e${scene.receiver.index}`;
      await router.ip([
        `neigh replace ${address} dev ${device} lladdr 02:00:00:00:de:ad nud permanent`,
      ]);
      scene.undo(async () => {
        await router.ip([`neigh del ${address} dev ${device}`]);
      });
      return {
        outcome: 'fail',
        node: 'path',
        where: ['path'],
        reasons: ['wrong-link-layer-address', 'dropped-on-the-way'],
        ambiguous: true,
        spread: { paths: 'pair', topics: 'all' },
      };
    },
  },
  {
    name: 'reverse-path-filter',
    about:
      "the receiver's strict reverse-path filter, with its route to the sender by another interface",
    protocols: ['icmp', 'udp', 'tcp', 'vxlan', 'ipip'],
    families: ['ipv4'],
    async inject(scene) {
      const { receiver } = scene;
      await receiver.exec('sysctl', ['-qw', 'net.ipv4.conf.e0.rp_filter=1']);
      scene.undo(async () => {
        await receiver.exec('sysctl', ['-qw', 'net.ipv4.conf.e0.rp_filter=0']);
      });
      await routeUntilUndone(
        scene,
        receiver,
        `${host(scene.sender, scene)} via 172.16.${receiver.index}.254 dev s0 src ${receiver.address4}`,
      );
      return {
        outcome: 'fail',
        node: 'receiver',
        where: ['receiver-ingress'],
        reasons: ['dropped-by-reverse-path-filter'],
        spread: { paths: 'pair', topics: 'all' },
      };
    },
  },
  {
    name: 'asymmetric',
    about: 'the receiver answers by another interface, and nothing is wrong with that',
    protocols: ['icmp', 'udp', 'tcp'],
    families: ['ipv4'],
    async inject(scene) {
      const { receiver } = scene;
      await routeUntilUndone(
        scene,
        receiver,
        `${host(scene.sender, scene)} via 172.16.${receiver.index}.254 dev s0 src ${receiver.address4}`,
      );
      return { outcome: 'pass', spread: { paths: 'pair', topics: ['mtu', 'size', 'overlay'] } };
    },
  },
  {
    name: 'answer-blackhole',
    about: 'the receiver has a blackhole route to the sender',
    protocols: ['icmp', 'tcp'],
    async inject(scene) {
      await routeUntilUndone(scene, scene.receiver, `blackhole ${host(scene.sender, scene)}`);
      return {
        outcome: 'fail',
        node: 'receiver',
        where: ['node'],
        reasons: ['no-return-route'],
        ambiguous: true,
        spread: { paths: 'pair', topics: 'all' },
      };
    },
  },
];
