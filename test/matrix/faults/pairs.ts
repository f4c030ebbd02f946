/** @module Two faults at once, and those that also close the ways by which agents talk. */
import {
  addressOf,
  chainUntilUndone,
  type Fault,
  nftFamily,
  nftMatch,
  protocols,
} from '../fault.ts';
import { agentPort, placeRule } from '../firewall.ts';
import { truthOf } from './host-firewall.ts';

export const pairedFaults: readonly Fault[] = [
  {
    name: 'input-and-tcp-channel',
    about: "a drop in the receiver's INPUT, and the agent's TCP port is closed too",
    protocols,
    async inject(scene) {
      await chainUntilUndone(scene, scene.receiver, 'input', `tcp dport ${agentPort} drop`, {
        priority: -20,
      });
      const rule = {
        place: scene.receiver,
        stage: 'input',
        action: 'drop',
        manager: 'nft',
      } as const;
      return truthOf(scene, 'receiver', 'drop', await placeRule(scene, rule));
    },
  },
  {
    name: 'input-and-udp-channel',
    about: "a drop in the receiver's INPUT, and the agent's UDP port is closed too",
    protocols,
    async inject(scene) {
      await chainUntilUndone(scene, scene.receiver, 'input', `udp dport ${agentPort} drop`, {
        priority: -20,
      });
      const rule = {
        place: scene.receiver,
        stage: 'input',
        action: 'drop',
        manager: 'nft',
      } as const;
      return truthOf(scene, 'receiver', 'drop', await placeRule(scene, rule));
    },
  },
  {
    name: 'input-everything',
    about: "the receiver's INPUT drops all that the sender sends",
    protocols: ['udp', 'tcp', 'icmp'],
    async inject(scene) {
      const ip = nftFamily(scene.family);
      await chainUntilUndone(
        scene,
        scene.receiver,
        'input',
        `${ip} saddr ${addressOf(scene.sender, scene.family)} drop`,
      );
      // Only the sender's half of the evidence is there.
      const truth = truthOf(scene, 'receiver', 'drop');
      if (truth.outcome === 'pass') return truth;
      return { ...truth, ambiguous: true, spread: { paths: 'pair', topics: 'all' } };
    },
  },
  {
    name: 'two-rules',
    about: 'two tables of the receiver drop it in INPUT',
    protocols,
    async inject(scene) {
      const rule = await placeRule(scene, {
        place: scene.receiver,
        stage: 'input',
        action: 'drop',
        manager: 'nft',
      });
      await chainUntilUndone(scene, scene.receiver, 'input', `${nftMatch(scene)} counter drop`, {
        priority: 100,
      });
      return truthOf(scene, 'receiver', 'drop', rule);
    },
  },
  {
    name: 'both-hosts',
    about: "a drop in the sender's OUTPUT, and one in the receiver's INPUT",
    protocols,
    async inject(scene) {
      const rule = await placeRule(scene, {
        place: scene.sender,
        stage: 'output',
        action: 'drop',
        manager: 'nft',
      });
      await chainUntilUndone(scene, scene.receiver, 'input', `${nftMatch(scene)} drop`);
      const truth = truthOf(scene, 'sender', 'drop', rule);
      return truth.outcome === 'pass'
        ? truth
        : { ...truth, spread: { paths: 'sender', topics: [scene.protocol] } };
    },
  },
  {
    name: 'fabric-and-input',
    about: "the network drops it, and the receiver's INPUT would too",
    protocols,
    async inject(scene) {
      const { sender, receiver } = scene;
      await chainUntilUndone(scene, receiver, 'input', `${nftMatch(scene)} drop`);
      await chainUntilUndone(
        scene,
        scene.world.router,
        'forward',
        `iifname "e${sender.index}" oifname "e${receiver.index}" ${nftMatch(scene)} drop`,
      );
      return {
        outcome: 'fail',
        node: 'path',
        where: ['path'],
        reasons: ['dropped-on-the-way'],
        spread: { paths: 'into-receiver', topics: [scene.protocol] },
      };
    },
  },
];
