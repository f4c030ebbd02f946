/** @module Tells of trouble that is known of machines like this one. The machines are data of the catalogue. */
import { decodeTarget } from 'node-nftables';
import type { ParamsByKind } from '../rules/schema.ts';
import { type Check, type Context, type Evidence, fail, pass } from './check.ts';
import type { OsFacts } from './host/host.ts';
import { compareReleases, parseKernelVersion } from './kernel-version.ts';
import type { Remedy } from './remedy/remedy.ts';
import { isTypable } from './settings/cure.ts';

// linux/netfilter/nf_nat.h
const NF_NAT_RANGE_PROTO_RANDOM_FULLY = 16;

type Issue = ParamsByKind['known-issue'];

/** What one condition came to. `untold`: it could not be looked at, or is about what is not there yet. */
interface Finding {
  readonly holds: 'yes' | 'no' | 'untold';
  readonly evidence: Evidence;
  readonly remedy?: Remedy;
}

/** Looks whether all that is said of the machines holds for this one. */
export const knownIssue: Check<'known-issue'> = {
  kind: 'known-issue',
  summary: 'no trouble is known of a machine with this kernel, driver and platform',
  scope: 'node',
  needs: [],

  async run(issue, _target, context) {
    let evidence: Evidence = {};
    const untold: string[] = [];
    const remedies: Remedy[] = [];
    // The cheap ones first: what one of them rules out costs no look at drivers or rules.
    for (const [name, look] of Object.entries(looks)) {
      const found = await look(issue, context);
      if (found === undefined) continue;
      evidence = { ...evidence, ...found.evidence };
      if (found.holds === 'no') return pass({ ...evidence, without: name });
      if (found.holds === 'untold') untold.push(name);
      if (found.remedy !== undefined) remedies.push(found.remedy);
    }
    const open = untold.length === 0 ? {} : { untold: untold.join(',') };
    return fail(
      'known-issue',
      { symptom: issue.symptom, ...evidence, ...open },
      { where: 'node', node: 'this' },
      remedies,
    );
  },
};

type Look = (issue: Issue, context: Context) => Promise<Finding | undefined>;

/** Each looks at one condition; undefined where the issue says nothing of it. */
const looks: Readonly<Record<string, Look>> = {
  async kernel({ kernels }, { host }) {
    if (kernels === undefined) return undefined;
    const os = await host.osFacts();
    const isMeant = kernels.some((range) => isIn(range, os));
    return { holds: isMeant ? 'yes' : 'no', evidence: { kernel: os.kernel } };
  },

  async platform({ dmi }, { host }) {
    if (dmi === undefined) return undefined;
    const said: string[] = [];
    for (const [name, wanted] of Object.entries(dmi)) {
      const text = (await host.readText(`/sys/class/dmi/id/${name}`))?.trim();
      if (text === undefined || !matches(wanted, text)) return { holds: 'no', evidence: {} };
      said.push(text);
    }
    return { holds: 'yes', evidence: { platform: said.join(', ') } };
  },

  async target({ lacksTarget6 }, { host }) {
    if (lacksTarget6 === undefined) return undefined;
    // A module that is loaded shows its targets in both families; one that is not shows none.
    const [ipv4, ipv6] = await Promise.all(
      ['ip', 'ip6'].map((family) => host.readText(`/proc/net/${family}_tables_targets`)),
    );
    if (!(ipv4 ?? '').split('\n').includes(lacksTarget6) || ipv6 === undefined)
      return { holds: 'untold', evidence: {} };
    const isThere = ipv6.split('\n').includes(lacksTarget6);
    return { holds: isThere ? 'no' : 'yes', evidence: { target: lacksTarget6 } };
  },

  async driver({ driver }, context) {
    return driver === undefined ? undefined : await findDriver(driver, context);
  },

  async masquerade({ masquerade }, { host }) {
    if (masquerade === undefined) return undefined;
    const reading = await host.firewall();
    if (!reading.readable) return { holds: 'untold', evidence: {} };
    const flags = reading.view.ruleset.rules.flatMap(({ expressions, family }) =>
      expressions.flatMap((one) => {
        if (one.kind === 'masq') return [one.range.flags];
        if (one.kind !== 'target' || one.name !== 'MASQUERADE') return [];
        const target = decodeTarget(one, family === 'ip6' ? 'ip6' : 'ip');
        return target?.kind === 'masquerade' ? [target.range.flags] : [];
      }),
    );
    const isRandom = flags.some((flag) => (flag & NF_NAT_RANGE_PROTO_RANDOM_FULLY) !== 0);
    return { holds: isRandom ? 'yes' : 'no', evidence: { masquerade } };
  },
};

function isIn(
  { from, to, distributions }: NonNullable<Issue['kernels']>[number],
  { kernel, id }: OsFacts,
): boolean {
  if (distributions !== undefined && !distributions.includes(id)) return false;
  const running = parseKernelVersion(kernel);
  if (running === undefined) return false;
  return (
    (from === undefined || compareReleases(running, from) >= 0) &&
    (to === undefined || compareReleases(running, to) <= 0)
  );
}

function matches(wanted: string, text: string): boolean {
  return wanted.endsWith('*') ? text.startsWith(wanted.slice(0, -1)) : text === wanted;
}

/** Looks at the cards of the underlay, also below a bond or VLAN, or at the VXLAN devices. */
async function findDriver(
  wanted: NonNullable<Issue['driver']>,
  context: Context,
): Promise<Finding> {
  const names = await devicesOf(wanted.of, context);
  if (names.length === 0) return { holds: 'untold', evidence: {} };
  const commands: string[] = [];
  for (const name of names) {
    const facts = await context.host.driver(name);
    if (facts === undefined) continue;
    const { driver, version, features } = facts;
    if (wanted.names !== undefined && !wanted.names.includes(driver)) continue;
    if (wanted.versions?.some((start) => version.startsWith(start)) === false) continue;
    const on = (wanted.features ?? []).filter((feature) => features.get(feature) === true);
    if (wanted.features !== undefined && on.length === 0) continue;
    const evidence: Evidence = {
      interface: name,
      driver,
      ...(wanted.versions === undefined ? {} : { driverVersion: version }),
      ...(on.length === 0 ? {} : { features: on.join(',') }),
    };
    if (isTypable(name)) commands.push(...on.map((feature) => `ethtool -K ${name} ${feature} off`));
    return {
      holds: 'yes',
      evidence,
      ...(commands.length === 0 ? {} : { remedy: { manager: 'ethtool', commands } }),
    };
  }
  return { holds: 'no', evidence: { interfaces: names.join(',') } };
}

const mostDevices = 16;

async function devicesOf(
  of: 'underlay' | 'vxlan',
  { host, underlay }: Context,
): Promise<readonly string[]> {
  if (of === 'vxlan') {
    const links = await host.links();
    return links
      .flatMap(({ kind, name }) => (kind === 'vxlan' ? [name] : []))
      .slice(0, mostDevices);
  }
  const found = new Set(underlay.map(({ interface: name }) => name));
  for (const name of found) {
    if (found.size >= mostDevices) break;
    const files = (await host.listDirectory(`/sys/class/net/${name}`)) ?? [];
    for (const file of files) if (file.startsWith('lower_')) found.add(file.slice(6));
  }
  return [...found];
}
