/** @module Puts one guilty rule, or policy, among innocent ones, with one of the managers and in one of the shapes that rules come in. */
import type { LabNode } from '../support/lab.ts';
import { addressOf, nftFamily, nftMatch, type Scene, type TrueRule } from './fault.ts';
import { iptablesInnocents, nftInnocents, type Stage } from './innocents.ts';

export type Manager = 'nft' | 'iptables-nft' | 'iptables-legacy';
export type Action = 'drop' | 'reject';

export interface Guilty {
  readonly place: LabNode;
  readonly stage: 'input' | 'output' | 'prerouting' | 'postrouting';
  readonly action: Action;
  /** The priority, or iptables' table. */
  readonly table?: 'filter' | 'mangle' | 'raw';
  /** The chain's policy does it, and rules before let other things pass. */
  readonly policy?: boolean;
  /** Instead of the probes of the scene. */
  readonly match?: string;
  readonly manager?: Manager;
  /** Everything passes that the agents talk by. */
  readonly sparesAgents?: boolean;
}

/** The port that the agents talk by. */
export const agentPort = 10472;
const mostInnocents = 200;

/** Loads the rules; they go with the scene. */
export async function placeRule(scene: Scene, guilty: Guilty): Promise<TrueRule> {
  const { random } = scene;
  // A rule on ICMP has no port to put into a set, and iptables has the same words for all of these.
  const manager =
    guilty.manager ??
    (guilty.match !== undefined
      ? 'nft'
      : random.pick(['nft', 'nft', 'iptables-nft', 'iptables-legacy']));
  scene.undo(async () => {
    await guilty.place.flush();
  });
  return manager === 'nft'
    ? await placeNft(scene, guilty)
    : await placeIptables(scene, guilty, manager);
}

const priorities = { filter: 0, mangle: -150, raw: -300 } as const;

async function placeNft(scene: Scene, guilty: Guilty): Promise<TrueRule> {
  const { random, family } = scene;
  const { place, stage, table = 'filter' } = guilty;
  const nfFamily = random.pick(['inet', nftFamily(family)]);
  const name = random.pick(['firewall', 'host', 'my_rules', 'site-policy', 'edge']);
  const chain = random.pick([stage, `${stage}_rules`, 'main', 'base']);
  const spared = { ports: scene.spared };
  const around = (): readonly string[] =>
    nftInnocents(random, random.integer(0, mostInnocents / 2), stage, spared).filter(
      (line) => nfFamily === 'inet' || !line.includes(nfFamily === 'ip' ? 'ip6 ' : 'ip '),
    );
  const priority = priorities[table] + (table === 'filter' ? random.pick([0, 0, -5, 10]) : 0);
  const before = around();
  const shape = guilty.policy === true ? 'policy' : pickShape(scene, guilty);
  const parts = nftShape(scene, guilty, shape);
  const after = guilty.policy === true ? [] : around();
  const lines = [...before, ...parts.lines, ...after];
  const inner = parts.inner === undefined ? [] : [...around(), parts.inner, ...around()];
  const policy = guilty.policy === true ? 'drop' : 'accept';
  const text = `table ${nfFamily} ${name} {
${parts.sets}
${parts.inner === undefined ? '' : `chain checks {\n${inner.join('\n')}\n}`}
chain ${chain} { type filter hook ${stage} priority ${priority}; policy ${policy};
${lines.join('\n')}
}
}
${random.chance(0.4) ? innocentTable(scene, stage, spared) : ''}`;
  await place.nft(text);
  const backend = 'nf_tables' as const;
  if (guilty.policy === true)
    return { backend, family: nfFamily, table: name, chain, policy: 'drop' };
  const deciding = parts.inner === undefined ? chain : 'checks';
  const index =
    parts.inner === undefined ? before.length + parts.guiltyLine : inner.indexOf(parts.inner);
  const handle = await handleOf(place, nfFamily, name, deciding, index);
  return { backend, family: nfFamily, table: name, chain: deciding, handle };
}

type Shape = 'plain' | 'jump' | 'set' | 'map' | 'range' | 'strangers' | 'goto';

function pickShape(scene: Scene, { match, action }: Guilty): Shape {
  if (match !== undefined) return 'plain';
  const ports: readonly Shape[] = scene.port === undefined ? [] : ['set', 'range'];
  const drops: readonly Shape[] = scene.port !== undefined && action === 'drop' ? ['map'] : [];
  return scene.random.pick<Shape>([
    'plain',
    'plain',
    'jump',
    'goto',
    'strangers',
    ...ports,
    ...drops,
  ]);
}

interface Parts {
  /** Lines of the base chain. */
  readonly lines: readonly string[];
  /** Which of them decides. */
  readonly guiltyLine: number;
  readonly sets: string;
  /** The rule that decides, where it stands in a chain of its own. */
  readonly inner?: string;
}

function nftShape(scene: Scene, guilty: Guilty, shape: Shape | 'policy'): Parts {
  const { random, port = 0, family, protocol } = scene;
  const { stage } = guilty;
  const verdict = guilty.action;
  const match = guilty.match ?? nftMatch(scene);
  const ip = nftFamily(family);
  const incoming = stage === 'input' || stage === 'prerouting';
  const own = addressOf(guilty.place, family);
  const far = addressOf(farOf(scene, guilty), family);
  const from = incoming ? `${ip} saddr ${far}` : `${ip} daddr ${far}`;
  const narrow = random.chance(0.4) ? `${from} ` : '';
  const statement = `${random.chance(0.5) ? 'counter ' : ''}${random.chance(0.1) ? 'log prefix "no " ' : ''}${verdict}${random.chance(0.2) ? ' comment "ticket 4711"' : ''}`;
  const transport = protocol === 'tcp' ? 'tcp' : 'udp';
  const one = (line: string, sets = ''): Parts => ({ lines: [line], guiltyLine: 0, sets });
  switch (shape) {
    case 'policy':
      return { lines: allowances(scene, guilty), guiltyLine: 0, sets: '' };
    case 'plain':
      return one(`${narrow}${match} ${statement}`);
    case 'jump':
    case 'goto':
      return {
        lines: [`${random.chance(0.5) ? narrow : ''}${shape} checks`],
        guiltyLine: 0,
        sets: '',
        inner: `${narrow}${match} ${statement}`,
      };
    case 'set':
      return one(
        `${narrow}${transport} dport @closed ${statement}`,
        `set closed { type inet_service; elements = { ${port}, 1, 7 } }`,
      );
    case 'map':
      return one(`${narrow}${transport} dport vmap { 1 : accept, ${port} : drop }`);
    case 'range':
      return one(`${narrow}${transport} dport ${port}-${port + 1} ${statement}`);
    case 'strangers': {
      const type = family === 'ipv4' ? 'ipv4_addr' : 'ipv6_addr';
      const side = incoming ? 'saddr' : 'daddr';
      return one(
        `${match} ${ip} ${side} != @nodes ${statement}`,
        `set nodes { type ${type}; elements = { ${own}, ${family === 'ipv4' ? '192.0.2.7' : '2001:db8::7'} } }`,
      );
    }
  }
}

/** The other one of the two. */
function farOf({ sender, receiver }: Scene, { place }: Guilty): LabNode {
  return place === sender ? receiver : sender;
}

/** What a chain that drops by policy lets pass: all that is not the probes. */
function allowances(scene: Scene, { stage, sparesAgents = true }: Guilty): readonly string[] {
  const { protocol, port = 0 } = scene;
  const lines = [
    'ct state established,related accept',
    'meta l4proto ipv6-icmp icmpv6 type != echo-request accept',
  ];
  if (sparesAgents) lines.push(`udp dport ${agentPort} accept`, `tcp dport ${agentPort} accept`);
  if (stage === 'input') lines.push('iif "lo" accept');
  if (protocol !== 'icmp') lines.push('meta l4proto { icmp, ipv6-icmp } accept');
  if (protocol === 'udp' || protocol === 'vxlan')
    lines.push('meta l4proto tcp accept', 'meta l4proto 4 accept', `udp dport != ${port} accept`);
  else if (protocol === 'tcp')
    lines.push('meta l4proto udp accept', 'meta l4proto 4 accept', `tcp dport != ${port} accept`);
  else lines.push('meta l4proto { tcp, udp } accept');
  if (protocol === 'icmp') lines.push('meta l4proto 4 accept');
  return lines;
}

/** A table of somebody else that lets all of it pass. */
function innocentTable(
  scene: Scene,
  stage: Stage,
  spared: { readonly ports: readonly number[] },
): string {
  const { random } = scene;
  const lines = nftInnocents(random, random.integer(1, 20), stage, spared);
  const priority = random.pick([-20, 5, 50]);
  return `table inet other { chain ${stage} { type filter hook ${stage} priority ${priority}; policy accept;
${lines.join('\n')}
}
}`;
}

/** Handle of the rule at this place of a chain, from 0. */
export async function handleOf(
  place: LabNode,
  family: string,
  table: string,
  chain: string,
  index: number,
): Promise<number> {
  const { stdout } = await place.exec('nft', ['-a', 'list', 'chain', family, table, chain]);
  const handles = stdout
    .split('\n')
    .filter(
      (line) => !/^\s*(table|chain|type|policy|set) /.test(line) && line.includes('# handle '),
    )
    .map((line) => Number(line.split('# handle ')[1]));
  const handle = handles[index];
  if (handle === undefined)
    throw new Error(
      `no rule ${index} among ${handles.length} in ${family} ${table} ${chain}:\n${stdout.slice(0, 3000)}`,
    );
  return handle;
}

const chainNames = {
  input: 'INPUT',
  output: 'OUTPUT',
  prerouting: 'PREROUTING',
  postrouting: 'POSTROUTING',
} as const;

async function placeIptables(
  scene: Scene,
  guilty: Guilty,
  manager: Exclude<Manager, 'nft'>,
): Promise<TrueRule> {
  const { random, family } = scene;
  const { place, stage } = guilty;
  const table =
    guilty.table ??
    (stage === 'postrouting' ? 'mangle' : stage === 'prerouting' ? 'raw' : 'filter');
  const base = chainNames[stage];
  const ownChain = guilty.policy !== true && random.chance(0.4);
  const chain = ownChain ? 'SITE-CHECKS' : base;
  const spared = { ports: scene.spared };
  const around = (): readonly string[] =>
    iptablesInnocents(random, random.integer(0, mostInnocents / 2), family, stage, spared);
  const before = around();
  const incoming = stage === 'input' || stage === 'prerouting';
  const far = addressOf(farOf(scene, guilty), family);
  const narrow = random.chance(0.4) ? `${incoming ? '-s' : '-d'} ${far} ` : '';
  const target =
    guilty.action === 'drop'
      ? 'DROP'
      : `REJECT${random.chance(0.3) ? ` --reject-with ${family === 'ipv4' ? 'icmp-admin-prohibited' : 'icmp6-adm-prohibited'}` : ''}`;
  const rule = `${narrow}${iptablesMatch(scene)} -j ${target}`;
  const rules = guilty.policy === true ? iptablesAllowances(scene, stage) : [rule];
  const lines = [...before, ...rules, ...(guilty.policy === true ? [] : around())];
  const policy = guilty.policy === true ? 'DROP' : 'ACCEPT';
  const text = [
    `*${table}`,
    `:${base} ${policy} [0:0]`,
    ...(ownChain ? [':SITE-CHECKS - [0:0]', `-A ${base} -j SITE-CHECKS`] : []),
    ...lines.map((line) => `-A ${chain} ${line}`),
    'COMMIT',
    '',
  ].join('\n');
  const program = family === 'ipv4' ? manager : manager.replace('iptables', 'ip6tables');
  if (manager === 'iptables-legacy')
    scene.undo(async () => {
      const empty = `*${table}\n:${base} ACCEPT [0:0]\nCOMMIT\n`;
      await place.exec(`${program}-restore`, [], { input: empty });
    });
  await place.exec(`${program}-restore`, [], { input: text });
  const common = { backend: manager, family: nftFamily(family), table, chain } as const;
  if (guilty.policy === true) return { ...common, policy: 'drop' };
  const number = before.length + 1;
  if (manager === 'iptables-legacy') return { ...common, number };
  return {
    ...common,
    number,
    handle: await handleOf(place, common.family, table, chain, before.length),
  };
}

function iptablesMatch({ protocol, family, port = 0 }: Scene): string {
  switch (protocol) {
    case 'icmp':
      return family === 'ipv4' ? '-p icmp --icmp-type 8' : '-p ipv6-icmp --icmpv6-type 128';
    case 'udp':
    case 'vxlan':
      return `-p udp --dport ${port}`;
    case 'tcp':
      return `-p tcp --dport ${port}`;
    case 'ipip':
      return '-p 4';
  }
}

function iptablesAllowances(
  { protocol, family, port = 0 }: Scene,
  stage: Stage,
): readonly string[] {
  const icmp = family === 'ipv4' ? 'icmp' : 'ipv6-icmp';
  const lines = ['-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT'];
  if (stage === 'input') lines.push('-i lo -j ACCEPT');
  for (const transport of ['udp', 'tcp'])
    lines.push(`-p ${transport} --dport ${agentPort} -j ACCEPT`);
  if (family === 'ipv6')
    for (const type of [133, 134, 135, 136])
      lines.push(`-p ipv6-icmp --icmpv6-type ${type} -j ACCEPT`);
  if (protocol !== 'icmp') lines.push(`-p ${icmp} -j ACCEPT`);
  if (protocol !== 'ipip') lines.push('-p 4 -j ACCEPT');
  const own = protocol === 'tcp' ? 'tcp' : protocol === 'icmp' || protocol === 'ipip' ? '' : 'udp';
  for (const transport of ['udp', 'tcp'])
    lines.push(
      transport === own
        ? `-p ${transport} ! --dport ${port} -j ACCEPT`
        : `-p ${transport} -j ACCEPT`,
    );
  return lines;
}
