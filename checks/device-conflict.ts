/** @module Finds tunnel devices that keep the provider's own from coming up. */
import type { ParamsByKind } from '../rules/schema.ts';
import { type Answer, type AnswerCulprit, type Check, fail, pass } from './check.ts';
import type { Link } from './host/host.ts';

const thisNode: AnswerCulprit = { where: 'node', node: 'this' };

/** Finds tunnel devices that keep the provider's own from coming up, or that run on another port than its. */
export const deviceConflict: Check<'device-conflict'> = {
  kind: 'device-conflict',
  summary: 'no other tunnel device is in the way of the provider’s own',
  scope: 'node',
  needs: [],

  async run(params, _target, { host }) {
    return judgeDevices(params, await host.links());
  },
};

/** Judges the links of a node. What collides follows vxlan_core.c and geneve.c of Linux (seen on 6.18). */
export function judgeDevices(
  params: ParamsByKind['device-conflict'],
  links: readonly Link[],
): Answer {
  const tunnels = links.filter(({ kind }) => kind === params.device);
  const own = tunnels.filter(({ name }) => params.own.some((pattern) => matches(pattern, name)));
  const wanted = {
    device: params.device,
    port: params.port,
    ...(params.vni === undefined ? {} : { vni: params.vni }),
  };
  const moved = own.find(({ port }) => port !== undefined && port !== params.port);
  if (moved !== undefined) {
    return fail('device-conflict', { ...wanted, conflict: 'port', ...about(moved) }, thisNode);
  }
  for (const link of tunnels) {
    if (own.includes(link) || link.port !== params.port) continue;
    const conflict = collision(params, link);
    if (conflict === undefined) continue;
    return fail('device-conflict', { ...wanted, conflict, ...about(link) }, thisNode);
  }
  return pass({ ...wanted, own: own.map(({ name }) => name).join(',') });
}

/** How another device on the same port collides; undefined when the two can live together. */
function collision(
  params: ParamsByKind['device-conflict'],
  link: Link,
): 'mode' | 'vni' | undefined {
  const external = link.external === true;
  if (params.device === 'geneve') {
    // geneve_configure refuses to share a port as soon as one of the two is external, up or down.
    if (external || params.external) return 'mode';
    return link.vni === params.vni ? 'vni' : undefined;
  }
  if (external !== params.external) {
    // One UDP socket serves a port, and its flags must agree; a device that is down holds no socket.
    return link.up ? 'mode' : undefined;
  }
  // Two external devices both have VNI 0. vxlan_vni_in_use refuses the second of a VNI, up or down.
  return external || (params.vni !== undefined && link.vni === params.vni) ? 'vni' : undefined;
}

function about(link: Link): Record<string, string | number | boolean> {
  return {
    link: link.name,
    linkUp: link.up,
    linkExternal: link.external === true,
    ...(link.port === undefined ? {} : { linkPort: link.port }),
    ...(link.vni === undefined ? {} : { linkVni: link.vni }),
  };
}

function matches(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}
