/** @module Nothing is wrong, or what looks wrong is not. */
import { chainUntilUndone, type Fault, nftFamily, nftMatch, protocols } from '../fault.ts';
import { nftInnocents } from '../innocents.ts';

const everythingPasses = { outcome: 'pass' } as const;

export const noFaults: readonly Fault[] = [
  {
    name: 'none',
    about: 'nothing is wrong',
    protocols,
    inject: async () => await Promise.resolve(everythingPasses),
  },
  {
    name: 'none-strict',
    about: 'both hosts drop all but what is needed',
    protocols,
    async inject(scene) {
      const { random } = scene;
      const spared = { ports: scene.spared };
      for (const place of [scene.sender, scene.receiver]) {
        scene.undo(async () => {
          await place.flush();
        });
        await place.nft(`table inet strict { chain in { type filter hook input priority 0; policy drop;
ct state established,related accept
iif "lo" accept
${nftInnocents(random, random.integer(0, 200), 'input', spared).join('\n')}
meta l4proto { icmp, ipv6-icmp } accept
ip protocol 4 accept
udp dport { 1-32767 } accept
tcp dport { 1-32767 } accept
}
}`);
      }
      return everythingPasses;
    },
  },
  {
    name: 'none-counted',
    about: 'rules log, count, and drop what is not ours',
    protocols,
    async inject(scene) {
      const ip = nftFamily(scene.family);
      const stranger = scene.family === 'ipv4' ? '198.51.100.9' : '2001:db8::9';
      for (const [place, hook] of [
        [scene.sender, 'output'],
        [scene.receiver, 'input'],
      ] as const)
        await chainUntilUndone(scene, place, hook, [
          `${nftMatch(scene)} counter`,
          `${ip} ${hook === 'input' ? 'saddr' : 'daddr'} ${stranger} ${nftMatch(scene)} drop`,
          `${nftMatch(scene)} accept`,
          `${scene.port === undefined ? 'tcp dport 23' : `udp dport ${scene.port + 1}`} drop`,
        ]);
      return everythingPasses;
    },
  },
  {
    name: 'port-closed',
    about: 'nobody listens yet',
    protocols: ['tcp', 'udp'],
    inject: async () => await Promise.resolve(everythingPasses),
  },
];
