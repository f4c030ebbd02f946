/** @module What the receiver does with packets that its firewall lets pass, and where else they may be sent. */

import { LongProcess } from '../../support/process.ts';
import { until } from '../../support/wait.ts';
import {
  addressOf,
  chainUntilUndone,
  type Fault,
  nftFamily,
  nftMatch,
  type Scene,
  type Truth,
} from '../fault.ts';
import { handleOf } from '../firewall.ts';

const withPorts = ['udp', 'tcp', 'vxlan'] as const;

/** A nat rule at the receiver, with innocent ones before it. */
async function natRule(scene: Scene, statement: string): Promise<Truth> {
  const { receiver, random } = scene;
  const before = Array.from(
    { length: random.integer(0, 30) },
    () => `tcp dport ${random.integer(40_000, 60_000)} redirect to :${random.integer(1, 60_000)}`,
  );
  scene.undo(async () => {
    await receiver.flush();
  });
  await receiver.nft(`table inet translate { chain pre { type nat hook prerouting priority -100; policy accept;
${[...before, `${nftMatch(scene)} ${statement}`].join('\n')}
}
}`);
  const handle = await handleOf(receiver, 'inet', 'translate', 'pre', before.length);
  return {
    outcome: 'fail',
    node: 'receiver',
    where: ['receiver-ingress'],
    reasons: ['rewritten'],
    rule: { backend: 'nf_tables', family: 'inet', table: 'translate', chain: 'pre', handle },
    spread: { paths: 'into-receiver', topics: [scene.protocol] },
  };
}

export const receiverFaults: readonly Fault[] = [
  {
    name: 'redirect',
    about: 'a REDIRECT of the receiver sends it to another port',
    protocols: withPorts,
    inject: async (scene) =>
      await natRule(scene, `redirect to :${scene.random.integer(20_000, 30_000)}`),
  },
  {
    name: 'dnat',
    about: 'a DNAT of the receiver sends it to another host',
    protocols: withPorts,
    inject: async (scene) =>
      await natRule(
        scene,
        `dnat ${nftFamily(scene.family)} to ${addressOf(scene.other, scene.family)}`,
      ),
  },
  {
    name: 'fabric-dnat',
    about: 'a router sends it to another host, which answers',
    protocols: ['udp', 'vxlan'],
    async inject(scene) {
      const ip = nftFamily(scene.family);
      await chainUntilUndone(
        scene,
        scene.world.router,
        'prerouting',
        `iifname "e${scene.sender.index}" ${ip} daddr ${addressOf(scene.receiver, scene.family)} ${nftMatch(scene)} dnat ${ip} to ${addressOf(scene.other, scene.family)}`,
        { type: 'nat', priority: -100 },
      );
      return {
        outcome: 'fail',
        node: 'path',
        where: ['path'],
        reasons: ['rewritten'],
        spread: { paths: 'this', topics: [scene.protocol] },
      };
    },
  },
  {
    name: 'tproxy',
    about: 'a TPROXY of the receiver may take it',
    protocols: ['udp', 'vxlan'],
    async inject(scene) {
      const target = scene.family === 'ipv4' ? 'ip to 127.0.0.1:7777' : 'ip6 to [::1]:7777';
      await chainUntilUndone(
        scene,
        scene.receiver,
        'prerouting',
        `${nftMatch(scene)} tproxy ${target} meta mark set 1 accept`,
        { priority: -150 },
      );
      return {
        outcome: 'fail',
        node: 'receiver',
        where: ['receiver-ingress', 'receiver-listener'],
        reasons: ['tproxy-possible'],
        spread: { paths: 'into-receiver', topics: [scene.protocol] },
      };
    },
  },
  {
    name: 'echo-ignored',
    about: 'a sysctl of the receiver keeps its kernel from answering echo requests',
    protocols: ['icmp'],
    async inject(scene) {
      const key =
        scene.family === 'ipv4' ? 'net.ipv4.icmp_echo_ignore_all' : 'net.ipv6.icmp.echo_ignore_all';
      await scene.receiver.exec('sysctl', ['-qw', `${key}=1`]);
      scene.undo(async () => {
        await scene.receiver.exec('sysctl', ['-qw', `${key}=0`]);
      });
      return {
        outcome: 'fail',
        node: 'receiver',
        where: ['node'],
        reasons: ['echo-ignored'],
        spread: { paths: 'into-receiver', topics: ['icmp', 'mtu'] },
      };
    },
  },
  {
    name: 'listener-hung',
    about: 'the process that listens has stopped, and its backlog is full',
    protocols: ['tcp'],
    async inject(scene) {
      const { receiver, family, port = 0 } = scene;
      const host = family === 'ipv4' ? '0.0.0.0' : '::';
      const script = `require('node:net').createServer(() => {}).listen({port:${port},host:'${host}',backlog:1},()=>{console.log('up');process.kill(process.pid,'SIGSTOP')})`;
      const listener = new LongProcess('ip', [
        'netns',
        'exec',
        receiver.namespace,
        process.execPath,
        '-e',
        script,
      ]);
      scene.undo(async () => {
        listener.signal('SIGKILL');
        await listener.stop('SIGKILL');
      });
      await until('it listens', () =>
        Promise.resolve(listener.stdout.includes('up') ? true : undefined),
      );
      const filler = new LongProcess('ip', [
        'netns',
        'exec',
        receiver.namespace,
        process.execPath,
        '-e',
        `const net=require('node:net');for(let i=0;i<6;i++)net.connect({port:${port},host:'${addressOf(receiver, family)}'}).on('error',()=>{});setInterval(()=>{},1000)`,
      ]);
      scene.undo(async () => {
        await filler.stop('SIGKILL');
      });
      await until('its backlog is full', async () => {
        const { stdout } = await receiver.exec('ss', ['-Hltn', `sport = :${port}`]);
        const [, queued = 0, limit = 1] = stdout.trim().split(/\s+/).map(Number);
        return queued > limit ? true : undefined;
      });
      return {
        outcome: 'fail',
        node: 'receiver',
        where: ['receiver-listener'],
        reasons: ['listener-hangs'],
        spread: { paths: 'into-receiver', topics: ['tcp'] },
      };
    },
  },
  {
    name: 'bad-checksum',
    about: 'something on the way breaks the checksum',
    protocols: ['udp', 'vxlan', 'tcp'],
    async inject(scene) {
      const { sender, receiver, world } = scene;
      // Else the checksum is never computed between these devices, and the kernel would take the packet.
      await sender.exec('ethtool', ['-K', 'e0', 'tx', 'off']);
      scene.undo(async () => {
        await sender.exec('ethtool', ['-K', 'e0', 'tx', 'on']);
      });
      const offset = scene.protocol === 'tcp' ? 128 : 48;
      await chainUntilUndone(
        scene,
        world.router,
        'forward',
        `iifname "e${sender.index}" oifname "e${receiver.index}" ${nftMatch(scene)} @th,${offset},16 set 0x1234`,
      );
      return {
        outcome: 'fail',
        node: 'path',
        where: ['path'],
        reasons: ['bad-checksum'],
        spread: { paths: 'this', topics: [scene.protocol] },
      };
    },
  },
];
