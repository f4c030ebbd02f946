/** @module Whether policy rules of other programs lead the packets of pods elsewhere, or rules that every host has are gone. */
import { matchesName } from '../rules/detect.ts';
import { type Answer, type Check, type Context, type Evidence, fail, pass, skip } from './check.ts';
import type { Family } from './family.ts';
import type { Host, InterfaceAddress, ListedRoute, PolicyRule, Route } from './host/host.ts';
import { addressIn, parsePrefix } from './packet/prefix.ts';
import {
  ipOf,
  isOfCloudSetup,
  isWithin,
  localTable,
  mainTable,
  remedyAgainst,
  ruleText,
  takesAll,
} from './policy-rules.ts';

const everything: Readonly<Record<Family, string>> = { ipv4: '0.0.0.0/0', ipv6: '::/0' };
/** So many ways to pods of one family and prefix length are asked for: a node of a thousand pods has as many routes. */
const waysOfLength = 3;

/** Whether policy rules of other programs lead the packets of pods elsewhere, or rules that every host has are gone. */
export const policyRouting: Check<'policy-routing'> = {
  kind: 'policy-routing',
  summary: 'policy rules leave the routes to pods in force',
  scope: 'node',
  needs: [],

  async run({ question }, _target, context) {
    const rules = await context.host.rules();
    if (question === 'usual-rules') return judgeRules(rules, await context.host.addresses());
    const routes = await context.host.routes();
    const ways = waysToPods(routes, context.interfaces);
    const sources = nodeAddresses(routes, await context.host.addresses());
    if (question === 'ways-to-pods')
      return await judgeWays({ ways, sources, rules, routes }, context);
    // Once there are pods, the kernel itself is asked where their packets go.
    return ways.length > 0 ? skip('not-applicable') : judgeCaptures(rules, routes, sources);
  },
};

/**
 * Says whether the tables `local` and `main` are asked. Without the first no packet arrives, without the second none leaves; programs
 * move the first (Cilium to 100, with a VRF it is behind that), so its place does not matter, nor what else a rule asks for. A family without
 * any rule is one that the kernel does not tell of, and one without an address is in no use.
 */
function judgeRules(rules: readonly PolicyRule[], addresses: readonly InterfaceAddress[]): Answer {
  for (const family of familiesOf(addresses)) {
    const own = rules.filter((rule) => rule.family === family);
    if (own.length === 0) continue;
    for (const [table, name, priority] of [
      [localTable, 'local', 0],
      [mainTable, 'main', 32_766],
    ] as const) {
      if (own.some((rule) => rule.table === table && rule.suppressPrefixLength === undefined))
        continue;
      return fail(
        'policy-rule-missing',
        { family, table: name, rules: own.map(ruleText).join(',') },
        { where: 'node', node: 'this' },
        [
          {
            manager: 'iproute2',
            commands: [`${ipOf(family)} rule add pref ${priority} lookup ${name}`],
          },
        ],
      );
    }
  }
  return pass({ tables: 'local,main', rules: rules.length });
}

/** A prefix of pods on this node or behind a tunnel, with the provider's interface that its route names. */
interface WayToPods {
  readonly family: Family;
  readonly prefix: string;
  readonly interface: string;
}

function waysToPods(
  routes: readonly ListedRoute[],
  interfaces: readonly string[],
): readonly WayToPods[] {
  return routes.flatMap(({ family, destination, type, table, hops }) => {
    if (table !== mainTable || type !== 'unicast' || isLinkLocal(destination)) return [];
    const hop = hops.find(({ interface: name }) => isOf(interfaces, name));
    if (hop === undefined || destination === everything[family]) return [];
    return [{ family, prefix: destination, interface: hop.interface }];
  });
}

/** Every interface has a route to its link-local neighbours; no pod is there. */
function isLinkLocal(destination: string): boolean {
  return destination.startsWith('fe80:') || destination.startsWith('ff00:');
}

interface Routing {
  readonly ways: readonly WayToPods[];
  readonly sources: ReadonlyMap<Family, string>;
  readonly rules: readonly PolicyRule[];
  readonly routes: readonly ListedRoute[];
}

/** Asks the kernel where it would send a packet to each, from whatever address it likes and from the node's own one. */
async function judgeWays(
  { ways, sources, rules, routes }: Routing,
  context: Context,
): Promise<Answer> {
  if (ways.length === 0) return skip('no-overlay-device');
  const asked = someOf(ways);
  for (const way of asked) {
    const to = addressOf(way.prefix);
    if (to === undefined) continue;
    for (const from of [undefined, sources.get(way.family)]) {
      const found = await routeTo(context.host, to, from);
      if (isInForce(found, to, context.interfaces, routes)) continue;
      return captured(way, from, found, rules);
    }
  }
  return pass({ ways: asked.length, rules: rules.length });
}

/** A few of each kind: what takes one pod's packets away takes those of its neighbours. */
function someOf(ways: readonly WayToPods[]): readonly WayToPods[] {
  const counts = new Map<string, number>();
  return ways.filter(({ family, prefix }) => {
    const key = `${family} ${prefix.split('/')[1] ?? ''}`;
    const count = counts.get(key) ?? 0;
    counts.set(key, count + 1);
    return count < waysOfLength;
  });
}

/** Whether the answer comes from the tables that every host has, whatever it says: another route of them is no rule's fault. */
function isInForce(
  found: Route | undefined,
  to: string,
  interfaces: readonly string[],
  routes: readonly ListedRoute[],
): boolean {
  if (found === undefined) return false;
  if (found.table === mainTable || found.table === localTable) return true;
  if (isOf(interfaces, found.interface)) return true;
  // Of a route that refuses IPv4 does not say where it stands.
  return (
    found.table === undefined &&
    routes.some(
      ({ table, type, destination }) =>
        table === mainTable && type === found.type && isWithin(to, destination),
    )
  );
}

/** An address of pods: the first of a network is none, and its second one is often the bridge's. */
function addressOf(prefix: string): string | undefined {
  const parsed = parsePrefix(prefix);
  return parsed === undefined ? undefined : (addressIn(parsed, 2) ?? addressIn(parsed, 0));
}

async function routeTo(
  host: Pick<Host, 'route'>,
  to: string,
  from: string | undefined,
): Promise<Route | undefined> {
  return from === undefined ? await host.route(to) : await host.route(to, from);
}

function captured(
  way: WayToPods,
  from: string | undefined,
  found: Route | undefined,
  rules: readonly PolicyRule[],
): Answer {
  const rule = rules.find(
    (one) =>
      one.family === way.family &&
      one.table === found?.table &&
      takesAll(one, from ?? found.source),
  );
  const evidence: Evidence = {
    destination: way.prefix,
    wanted: way.interface,
    found: found === undefined ? 'no route' : found.interface === '' ? found.type : found.interface,
    ...(from === undefined ? {} : { from }),
    ...(found?.table === undefined ? {} : { table: found.table }),
    ...(rule === undefined ? {} : { rule: ruleText(rule), priority: rule.priority }),
  };
  return fail(
    'policy-route-captures',
    evidence,
    { where: 'node', node: 'this' },
    rule === undefined || rule.table === mainTable ? [] : [remedyAgainst(rule, way.prefix)],
  );
}

/**
 * Says before there are pods which rule will lead their packets away: one that sends all packets, or all from the node's own address, to a
 * table with a default route before `main` is asked. A rule before it that asks `main` for all but default routes saves them.
 */
function judgeCaptures(
  rules: readonly PolicyRule[],
  routes: readonly ListedRoute[],
  sources: ReadonlyMap<Family, string>,
): Answer {
  for (const [family, source] of sources) {
    for (const rule of rules) {
      if (rule.family !== family) continue;
      if (asksMain(rule, source)) break;
      const route = takesAll(rule, source) ? defaultOf(routes, rule) : undefined;
      if (route === undefined) continue;
      return fail(
        'policy-route-captures',
        {
          destination: 'pods',
          found: route.hops[0]?.interface ?? '',
          table: rule.table,
          rule: ruleText(rule),
          priority: rule.priority,
          ...(rule.source === undefined ? {} : { from: source }),
        },
        { where: 'node', node: 'this' },
        isOfCloudSetup(rule) ? [remedyAgainst(rule, '')] : [],
      );
    }
  }
  return pass({ rules: rules.length });
}

/** Whether no later rule matters for a destination that `main` has a route for, if not the default one. */
function asksMain(rule: PolicyRule, source: string): boolean {
  return (
    rule.table === mainTable && takesAll(rule, source) && (rule.suppressPrefixLength ?? 0) <= 0
  );
}

function defaultOf(
  routes: readonly ListedRoute[],
  { family, table }: PolicyRule,
): ListedRoute | undefined {
  return routes.find(
    (route) =>
      route.family === family &&
      route.table === table &&
      route.type === 'unicast' &&
      route.destination === everything[family],
  );
}

/** The address that the node uses towards the world: that of its default route in `main`, of each family. */
function nodeAddresses(
  routes: readonly ListedRoute[],
  addresses: readonly InterfaceAddress[],
): ReadonlyMap<Family, string> {
  const found = new Map<Family, string>();
  const defaults = routes
    .filter((one) => one.table === mainTable && one.destination === everything[one.family])
    .toSorted((left, right) => left.metric - right.metric);
  for (const { family, source, hops } of defaults) {
    const own = addresses.find(
      (one) => one.family === family && one.scope === 'global' && one.index === hops[0]?.index,
    );
    const address = source ?? own?.address;
    if (address !== undefined && !found.has(family)) found.set(family, address);
  }
  return found;
}

function familiesOf(addresses: readonly InterfaceAddress[]): readonly Family[] {
  return [
    ...new Set(addresses.flatMap(({ family, scope }) => (scope === 'global' ? [family] : []))),
  ];
}

function isOf(interfaces: readonly string[], name: string): boolean {
  return name !== '' && interfaces.some((pattern) => matchesName(pattern, name));
}
