/** @module The devices of a running overlay on this node: up, and sending from an address that the node has. */
import {
  type Answer,
  type AnswerCulprit,
  type Check,
  type Context,
  fail,
  pass,
  skip,
} from './check.ts';
import type { Link } from './host/host.ts';
import { matchesDevice } from './overlay/devices.ts';
import { isStray } from './overlay/ends.ts';
import { pause } from './time.ts';

const thisNode: AnswerCulprit = { where: 'node', node: 'this' };
/** A CNI that starts makes a device and then sets it up. */
const secondLookMs = 1000;

/** Looks at the links; what is wrong is looked at once more, for a provider that is starting is not broken. */
export const overlayDevice: Check<'overlay-device'> = {
  kind: 'overlay-device',
  summary: "the overlay's devices on this node are up and send from an address of the node",
  scope: 'node',
  needs: [],

  async run(params, _target, context) {
    const first = await look(params, context);
    if (first.outcome !== 'fail') return first;
    await pause(secondLookMs, context.signal);
    return await look(params, context);
  },
};

async function look(
  { tunnels, bridges = [] }: Parameters<typeof overlayDevice.run>[0],
  { host }: Context,
): Promise<Answer> {
  const links = await host.links();
  const ends = links.filter(({ name }) => matchesDevice(tunnels, name));
  const sides = links.filter(({ name }) => matchesDevice(bridges, name));
  const all = [...ends, ...sides];
  if (all.length === 0) return skip('no-overlay-device');
  const down = all.find(({ up }) => !up);
  if (down !== undefined) {
    const answer = fail('overlay-device-down', { device: down.name }, thisNode);
    // A tunnel that comes up again has lost its routes and needs its agent; a bridge gets its own back.
    const isTyped = sides.includes(down) && answer.outcome === 'fail';
    const commands = [`ip link set ${down.name} up`];
    return isTyped ? { ...answer, remedy: [{ manager: 'iproute2', commands }] } : answer;
  }
  const addresses = await host.addresses();
  const stray = ends.find(({ local }) => isStray(local, addresses));
  if (stray?.local !== undefined) {
    const evidence = { device: stray.name, local: stray.local, problem: 'stray' };
    return fail('overlay-source-address', evidence, thisNode);
  }
  return pass({ devices: all.map(nameOf).join(',') });
}

function nameOf({ name, local }: Link): string {
  return local === undefined ? name : `${name} from ${local}`;
}
