/** @module Finds filters of tc that take packets before the provider's own programs see them. */
import { matchesName } from '../rules/detect.ts';
import { type Check, fail, pass, skip } from './check.ts';
import type { TrafficFilter } from './host/packet-programs.ts';
import { findPodInterfaces } from './settings/interfaces.ts';

/** Finds filters of others on the devices of pods and of the underlay that are asked first, or alone. */
export const trafficFilters: Check<'traffic-filters'> = {
  kind: 'traffic-filters',
  summary: 'no filter of tc comes before the programs of the provider',
  scope: 'node',
  needs: [],

  async run({ own }, _target, context) {
    const interfaces = await findPodInterfaces(context);
    if (interfaces.own.length === 0) return skip('not-applicable');
    const filters = await context.host.trafficFilters();
    const isOwn = ({ name }: TrafficFilter): boolean =>
      own.some((pattern) => matchesName(pattern, name));
    for (const device of [...interfaces.own, ...interfaces.underlay]) {
      for (const place of ['tc-ingress', 'tc-egress'] as const) {
        const here = filters.filter((one) => one.interface === device && one.place === place);
        // Programs of tcx come first, and whose they are is not told: they may be the provider's.
        if (here.some(({ priority }) => priority === 0)) continue;
        const [ours] = here.filter(isOwn).toSorted(byPriority);
        const [theirs] = here.filter((one) => !isOwn(one)).toSorted(byPriority);
        if (theirs === undefined) continue;
        if (ours === undefined || theirs.priority >= ours.priority) continue;
        const { name, priority } = theirs;
        return fail(
          'foreign-filter',
          { interface: device, place, filter: name, priority, own: ours.name },
          { where: 'node', node: 'this' },
        );
      }
    }
    return pass({});
  },
};

function byPriority(one: TrafficFilter, other: TrafficFilter): number {
  return one.priority - other.priority;
}
