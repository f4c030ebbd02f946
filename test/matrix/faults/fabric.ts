/** @module The network between the two hosts. */
import {
  chainUntilUndone,
  type Fault,
  nftAnswerMatch,
  nftMatch,
  protocols,
  type Scene,
  type Truth,
} from '../fault.ts';

/** What both ends see of a packet that the network takes away. */
const silentReasons = ['dropped-on-the-way'];

function onPath(
  scene: Scene,
  reasons: readonly string[],
  change: Partial<Extract<Truth, { outcome: 'fail' }>> = {},
): Truth {
  return {
    outcome: 'fail',
    node: 'path',
    where: ['path'],
    reasons,
    spread: { paths: 'this', topics: [scene.protocol] },
    ...change,
  };
}

/** Matches the way from sender to receiver in the router, or back. */
function there({ sender, receiver }: Scene): string {
  return `iifname "e${sender.index}" oifname "e${receiver.index}"`;
}
function back({ sender, receiver }: Scene): string {
  return `iifname "e${receiver.index}" oifname "e${sender.index}"`;
}

export const fabricFaults: readonly Fault[] = [
  {
    name: 'fabric-drop',
    about: 'the network drops it, in this direction only',
    protocols,
    async inject(scene) {
      await chainUntilUndone(
        scene,
        scene.world.router,
        'forward',
        `${there(scene)} ${nftMatch(scene)} drop`,
      );
      return onPath(scene, silentReasons);
    },
  },
  {
    name: 'fabric-drop-both',
    about: 'the network drops it, in both directions',
    protocols,
    async inject(scene) {
      await chainUntilUndone(scene, scene.world.router, 'forward', [
        `${there(scene)} ${nftMatch(scene)} drop`,
        `${back(scene)} ${nftMatch(scene)} drop`,
      ]);
      return onPath(scene, silentReasons, { spread: { paths: 'pair', topics: [scene.protocol] } });
    },
  },
  {
    name: 'fabric-reject',
    about: 'a router prohibits it with an ICMP error',
    // The kernel rejects nothing of protocol 4 whose payload does not add up to zero.
    protocols: ['icmp', 'udp', 'tcp', 'vxlan'],
    async inject(scene) {
      const type = scene.family === 'ipv4' ? 'icmp' : 'icmpv6';
      await chainUntilUndone(
        scene,
        scene.world.router,
        'forward',
        `${there(scene)} ${nftMatch(scene)} reject with ${type} ${scene.random.pick(['admin-prohibited'])}`,
      );
      return onPath(scene, ['rejected-by-firewall']);
    },
  },
  {
    name: 'fabric-refuse',
    about: 'a router refuses it in words that a host would use: port unreachable',
    protocols: ['udp', 'tcp', 'vxlan'],
    async inject(scene) {
      const type = scene.family === 'ipv4' ? 'icmp' : 'icmpv6';
      await chainUntilUndone(
        scene,
        scene.world.router,
        'forward',
        `${there(scene)} ${nftMatch(scene)} reject with ${type} port-unreachable`,
      );
      return onPath(scene, ['rejected-by-firewall']);
    },
  },
  {
    name: 'fabric-reset',
    about: "a middlebox resets the connection in the receiver's name",
    protocols: ['tcp'],
    async inject(scene) {
      await chainUntilUndone(
        scene,
        scene.world.router,
        'forward',
        `${there(scene)} ${nftMatch(scene)} reject with tcp reset`,
      );
      return onPath(scene, ['rejected-by-firewall']);
    },
  },
  {
    name: 'fabric-loss',
    about: 'the network loses every third packet',
    protocols,
    async inject(scene) {
      await chainUntilUndone(
        scene,
        scene.world.router,
        'forward',
        `${there(scene)} ${nftMatch(scene)} numgen inc mod 3 < 1 drop`,
      );
      return { outcome: 'pass', spread: { paths: 'this', topics: [scene.protocol] } };
    },
  },
  {
    name: 'fabric-answers',
    about: 'the network drops what the receiver answers',
    protocols,
    async inject(scene) {
      if (scene.protocol === 'ipip') {
        await chainUntilUndone(
          scene,
          scene.world.router,
          'forward',
          `${back(scene)} ip protocol 4 drop`,
        );
        return { outcome: 'pass', spread: { paths: 'pair', topics: ['ipip'] } };
      }
      await chainUntilUndone(
        scene,
        scene.world.router,
        'forward',
        `${back(scene)} ${nftAnswerMatch(scene)} drop`,
      );
      // A datagram needs no answer: that it arrived is told by another way.
      if (scene.protocol === 'udp' || scene.protocol === 'vxlan')
        return { outcome: 'pass', spread: { paths: 'this', topics: [scene.protocol] } };
      return onPath(scene, ['answer-dropped-on-the-way']);
    },
  },
  {
    name: 'fabric-host',
    about: 'the network drops all packets to the receiver, and none of its own',
    protocols: ['udp'],
    async inject(scene) {
      await chainUntilUndone(scene, scene.world.router, 'forward', `${there(scene)} drop`);
      // Nobody can be asked.
      return onPath(scene, silentReasons, {
        ambiguous: true,
        spread: { paths: 'pair', topics: 'all' },
      });
    },
  },
  {
    name: 'fabric-no-route',
    about: 'a router has no way to the receiver, and says so',
    protocols: ['icmp', 'udp', 'tcp'],
    async inject(scene) {
      const { router } = scene.world;
      const { receiver, family } = scene;
      const kind = scene.random.pick(['unreachable', 'prohibit']);
      const six = family === 'ipv6' ? '-6 ' : '';
      const target = family === 'ipv4' ? `${receiver.address4}/32` : `${receiver.address6}/128`;
      await router.ip([`${six}route add ${kind} ${target}`]);
      scene.undo(async () => {
        await router.ip([`${six}route del ${kind} ${target}`]);
      });
      return onPath(scene, ['unreachable', 'rejected-by-firewall'], {
        ambiguous: true,
        spread: { paths: 'pair', topics: 'all' },
      });
    },
  },
];
