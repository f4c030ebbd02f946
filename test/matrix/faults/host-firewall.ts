/** @module A firewall of one of the two hosts takes the probes away. */
import type { CulpritPlace } from '../../../checks/check.ts';
import {
  chainUntilUndone,
  type Fault,
  nftMatch,
  protocols,
  type Scene,
  type Spread,
  type Truth,
} from '../fault.ts';
import { type Action, type Guilty, handleOf, placeRule } from '../firewall.ts';

interface Side {
  readonly node: 'sender' | 'receiver';
  readonly where: readonly CulpritPlace[];
  readonly reasons: Readonly<Record<Action, readonly string[]>>;
  readonly paths: Spread['paths'];
}

const sides: Readonly<Record<'sender' | 'receiver', Side>> = {
  sender: {
    node: 'sender',
    where: ['sender-egress'],
    reasons: {
      drop: ['dropped-by-sender-firewall'],
      reject: ['rejected-by-sender-firewall'],
    },
    paths: 'out-of-sender',
  },
  receiver: {
    node: 'receiver',
    where: ['receiver-ingress'],
    reasons: {
      drop: ['dropped-by-receiver-firewall'],
      reject: ['rejected-by-receiver-firewall'],
    },
    paths: 'into-receiver',
  },
};

/** A rule of this stage, made by one of the managers among up to 200 others. */
function ruleFault(
  name: string,
  about: string,
  side: 'sender' | 'receiver',
  rule: Omit<Guilty, 'place'>,
): Fault {
  return {
    name,
    about,
    protocols,
    async inject(scene) {
      const place = side === 'sender' ? scene.sender : scene.receiver;
      const placed = await placeRule(scene, { ...rule, place });
      return truthOf(scene, side, rule.action, placed);
    },
  };
}

/** What is true where a rule of this host takes the probes away. */
export function truthOf(
  { protocol }: Pick<Scene, 'protocol'>,
  side: 'sender' | 'receiver',
  action: Action,
  rule?: Extract<Truth, { outcome: 'fail' }>['rule'],
): Truth {
  const { node, where, reasons, paths } = sides[side];
  // The kernel says nothing of a rejected packet whose payload does not add up to zero, and ours of protocol 4 does not.
  const silent = protocol === 'ipip' && action === 'reject' ? reasons.drop : [];
  return {
    outcome: 'fail',
    node,
    where,
    reasons: [...reasons[action], ...silent],
    ...(rule === undefined ? {} : { rule }),
    spread: { paths, topics: [protocol] },
  };
}

/** Some probes pass, and which is chance: that it works is no wrong answer, nor that it cannot be told. */
function doubtful(truth: Truth): Truth {
  return truth.outcome === 'pass' ? truth : { ...truth, ambiguous: true, mayPass: true };
}

const notByIptables = { manager: 'nft' } as const;

export const hostFirewallFaults: readonly Fault[] = [
  ruleFault('input-drop', "a drop in the receiver's INPUT", 'receiver', {
    stage: 'input',
    action: 'drop',
  }),
  ruleFault('input-reject', "a reject in the receiver's INPUT", 'receiver', {
    stage: 'input',
    action: 'reject',
  }),
  ruleFault('input-policy', "the policy of the receiver's INPUT", 'receiver', {
    stage: 'input',
    action: 'drop',
    policy: true,
  }),
  ruleFault(
    'input-mangle',
    "a drop in the receiver's INPUT at the priority of mangle",
    'receiver',
    {
      stage: 'input',
      action: 'drop',
      table: 'mangle',
    },
  ),
  ruleFault('prerouting-raw', "a drop in the receiver's PREROUTING before conntrack", 'receiver', {
    stage: 'prerouting',
    action: 'drop',
    table: 'raw',
  }),
  ruleFault(
    'prerouting-mangle',
    "a drop in the receiver's PREROUTING behind conntrack",
    'receiver',
    {
      stage: 'prerouting',
      action: 'drop',
      table: 'mangle',
    },
  ),
  ruleFault('output-drop', "a drop in the sender's OUTPUT", 'sender', {
    stage: 'output',
    action: 'drop',
  }),
  ruleFault('output-reject', "a reject in the sender's OUTPUT", 'sender', {
    stage: 'output',
    action: 'reject',
  }),
  ruleFault('output-policy', "the policy of the sender's OUTPUT", 'sender', {
    stage: 'output',
    action: 'drop',
    policy: true,
  }),
  ruleFault('output-raw', "a drop in the sender's OUTPUT before conntrack", 'sender', {
    stage: 'output',
    action: 'drop',
    table: 'raw',
  }),
  ruleFault('postrouting-drop', "a drop in the sender's POSTROUTING", 'sender', {
    stage: 'postrouting',
    action: 'drop',
    table: 'mangle',
  }),
  {
    name: 'allow-list',
    about:
      "the receiver's INPUT drops what is not from a set of nodes, and the sender is not in it",
    protocols,
    async inject(scene) {
      const ip = scene.family === 'ipv4' ? 'ip' : 'ip6';
      const other = scene.family === 'ipv4' ? scene.other.address4 : scene.other.address6;
      const match = `${ip} saddr != { ${other}, ${scene.family === 'ipv4' ? '192.0.2.9' : '2001:db8::9'} } ${nftMatch(scene)}`;
      const rule = { stage: 'input', action: 'drop', match, ...notByIptables } as const;
      const placed = await placeRule(scene, { ...rule, place: scene.receiver });
      return truthOf(scene, 'receiver', 'drop', placed);
    },
  },
  {
    name: 'ingress-drop',
    about: "a drop at the netdev ingress of the receiver's interface",
    protocols,
    inject: async (scene) => await netdevRule(scene, 'receiver', 'ingress'),
  },
  {
    name: 'egress-drop',
    about: "a drop at the netdev egress of the sender's interface",
    protocols,
    inject: async (scene) => await netdevRule(scene, 'sender', 'egress'),
  },
  {
    name: 'untracked',
    about: 'notrack at the receiver, whose INPUT lets only new and established flows pass',
    protocols: ['udp', 'tcp', 'vxlan'],
    async inject(scene) {
      const match = nftMatch(scene);
      await chainUntilUndone(scene, scene.receiver, 'prerouting', `${match} notrack`, {
        priority: -300,
      });
      const placed = await placeRule(scene, {
        place: scene.receiver,
        stage: 'input',
        action: 'drop',
        match: `${match} ct state untracked`,
        ...notByIptables,
      });
      return truthOf(scene, 'receiver', 'drop', placed);
    },
  },
  {
    name: 'rate-limit',
    about: "the receiver's INPUT drops what comes more often than once in a minute",
    protocols,
    async inject(scene) {
      await chainUntilUndone(
        scene,
        scene.receiver,
        'input',
        `${nftMatch(scene)} limit rate over 1/minute burst 1 packets counter drop`,
      );
      // The first packet passes, and it may be one of the probes.
      return doubtful(truthOf(scene, 'receiver', 'drop'));
    },
  },
];

async function netdevRule(
  scene: Scene,
  side: 'sender' | 'receiver',
  hook: 'ingress' | 'egress',
): Promise<Truth> {
  const place = side === 'sender' ? scene.sender : scene.receiver;
  const { random } = scene;
  const table = random.pick(['edge', 'early', 'card']);
  const before = Array.from(
    { length: random.integer(0, 20) },
    () => `udp dport ${random.integer(40_000, 60_000)} drop`,
  );
  scene.undo(async () => {
    await place.flush();
  });
  await place.nft(`table netdev ${table} { chain gate { type filter hook ${hook} device "e0" priority 0; policy accept;
${[...before, `${nftMatch(scene)} counter drop`].join('\n')}
}
}`);
  const handle = await handleOf(place, 'netdev', table, 'gate', before.length);
  const rule = { backend: 'nf_tables', family: 'netdev', table, chain: 'gate', handle } as const;
  const truth = truthOf(scene, side, 'drop', rule);
  const reasons =
    side === 'sender' ? ['dropped-by-sender-egress'] : ['dropped-by-receiver-ingress'];
  return truth.outcome === 'pass' ? truth : { ...truth, reasons };
}
