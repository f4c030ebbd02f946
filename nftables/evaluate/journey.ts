/** @module From the first hook to the last, with the routing decisions between them. */
import { anyDevice, inputOf, outputOf } from './devices.ts';
import { noDevice, someDevice } from './host.ts';
import { change, type Device, joinStates } from './machine.ts';
import { initialState } from './packet.ts';
import type { PacketState } from './state.ts';
import { destinationOf } from './state.ts';
import { maybe, no, type Ternary, yes } from './ternary.ts';
import { lookUp } from './tracking.ts';
import { type Journey, passHook, placeOf } from './traverse.ts';

const loopbackType = 772;

/** Gives the packet as it arrives; undefined if it never does. */
export function travel(journey: Journey): PacketState | undefined {
  switch (journey.packet.direction) {
    case 'in':
    case 'forward':
      return travelIn(journey);
    case 'out':
      return travelOut(journey);
  }
}

interface Entered {
  readonly state: PacketState;
  /** The device that the IP layer sees: a bridge instead of its port. */
  readonly input: Device;
}

/** Ingress, the bridge and prerouting, which what comes from outside meets whatever it is for. */
function enter(journey: Journey): Entered | undefined {
  const { packet, machine, program } = journey;
  const { host } = machine;
  let state = machine.state;
  const device = inputOf(journey);
  // A packet that this host sent to itself has its entry of conntrack still.
  if (device.type === loopbackType && program.tracks(state.family)) {
    state = { ...state, conntrack: lookUp(packet, state) };
  }
  const master = host.masterOf(packet.inInterface);
  const first = passHook(
    journey,
    'ingress',
    state,
    placeOf(state.family, device, noDevice, { name: device.text }),
  );
  if (first === undefined) return undefined;
  const bridged = master?.kind === 'bridge';
  const input = bridged ? master : master === undefined ? device : anyDevice(host);
  state = first;
  if (bridged || device.kind === 'bridge' || device.kind === undefined) {
    const port = placeOf('bridge', bridged ? device : anyDevice(host), noDevice, {
      doubtful: !bridged && device.kind !== 'bridge',
    });
    for (const hook of ['prerouting', 'input'] as const) {
      const next = passHook(journey, hook, state, port);
      if (next === undefined) return undefined;
      state = next;
    }
  }
  if (bridged) {
    const bridge = placeOf(state.family, input, noDevice, { name: input.text });
    const again = passHook(journey, 'ingress', state, bridge);
    if (again === undefined) return undefined;
    state = again;
  }
  const place = placeOf(state.family, bridged ? input : device, noDevice);
  const routed = passHook(journey, 'prerouting', reassembled(journey, state), place);
  return routed === undefined ? undefined : { state: routed, input };
}

/** After prerouting the packet is for this host or for another one: as it was asked, or where rules have sent it. */
function travelIn(journey: Journey): PacketState | undefined {
  const start = journey.machine.state;
  const entered = enter(journey);
  if (entered === undefined) return undefined;
  const local = isForThisHost(journey, start, entered.state);
  if (local === yes) return deliver(journey, entered);
  if (local === no) return passOn(journey, entered);
  const { met } = journey;
  journey.met = false;
  const ended = journey.ended.length;
  const delivered = deliver(journey, entered);
  const forwarded = passOn(journey, entered);
  journey.met = met && journey.ended.length === ended;
  return joinStates(journey.machine, delivered, forwarded);
}

function deliver(journey: Journey, { state, input }: Entered): PacketState | undefined {
  return passHook(journey, 'input', state, placeOf(state.family, input, noDevice));
}

function isForThisHost(
  { machine, packet }: Journey,
  before: PacketState,
  after: PacketState,
): Ternary {
  const asked = packet.direction === 'in' ? yes : no;
  if (after.redirected === no) return asked;
  const [old, found] = [destinationOf(before), destinationOf(after)];
  const same =
    old.value.every((byte, index) => byte === found.value[index]) &&
    old.known.every((byte, index) => byte === found.known[index]);
  const { rewrites, host } = machine;
  const redirects = rewrites.filter(({ kind }) => kind === 'redirect' || kind === 'dnat');
  const toThis = redirects.length > 0 && redirects.every(({ kind }) => kind === 'redirect');
  // An address that is written over itself, or the port alone, changes no way.
  if (same && !toThis) return asked;
  const local = toThis ? yes : host.isLocal(after.family, found.value, found.known);
  // If no rule changed it after all, it goes where it was asked about.
  return after.redirected === maybe && local !== asked ? maybe : local;
}

/** Forward, postrouting and egress. */
function passOn(journey: Journey, { state, input }: Entered): PacketState | undefined {
  const { machine } = journey;
  const output = outputOf(journey, state);
  machine.state = state;
  spendHop(journey);
  const place = placeOf(state.family, input, output);
  const forwarded = passHook(journey, 'forward', machine.state, place);
  return forwarded === undefined ? undefined : leave(journey, forwarded, input, output);
}

/** ip_forward and ip6_forward take one from the time to live before the hook. */
function spendHop({ machine }: Journey): void {
  const { state } = machine;
  const at = state.family === 'ip' ? 8 : 7;
  const left = state.bytes[at] ?? 0;
  if (state.known[at] !== 255 || left === 0) return;
  const bytes = state.bytes.slice();
  bytes[at] = left - 1;
  change(machine, { bytes });
}

function leave(
  journey: Journey,
  state: PacketState,
  input: Device,
  output: Device,
): PacketState | undefined {
  let sent = passHook(journey, 'postrouting', state, placeOf(state.family, input, output));
  if (sent === undefined) return undefined;
  if (output.kind === 'bridge' || output.kind === undefined) {
    const port = placeOf('bridge', noDevice, anyDevice(journey.machine.host), {
      doubtful: output.kind !== 'bridge',
    });
    for (const hook of ['output', 'postrouting'] as const) {
      sent = passHook(journey, hook, sent, port);
      if (sent === undefined) return undefined;
    }
  }
  const place = placeOf(state.family, noDevice, output, { name: output.text });
  return passHook(journey, 'egress', sent, place);
}

function travelOut(journey: Journey): PacketState | undefined {
  const start = reassembled(journey, journey.machine.state);
  const output = outputOf(journey, start);
  const sent = passHook(journey, 'output', start, placeOf(start.family, noDevice, output));
  if (sent === undefined) return undefined;
  return leave(journey, sent, noDevice, rerouted(journey, start, sent, output));
}

/** ip_route_me_harder: another destination or mark than before may take another way. */
function rerouted(
  journey: Journey,
  before: PacketState,
  after: PacketState,
  output: Device,
): Device {
  if (after.redirected === yes) return outputOf(journey, after);
  if (after.redirected === maybe) return someDevice;
  const marked = after.mark !== before.mark || after.markKnown !== before.markKnown;
  const byMark = journey.machine.host.environment.hasPolicyRouting !== false;
  return marked && byMark && journey.packet.outInterface === undefined ? someDevice : output;
}

/** nf_defrag, at priority -400: where conntrack is used only whole packets go on. */
function reassembled({ packet, program, machine }: Journey, state: PacketState): PacketState {
  if (state.fragment === 'none' || !program.tracks(state.family)) return state;
  const { length: _length, ...rest } = packet;
  const whole = initialState({ ...rest, fragment: 'none' });
  machine.state = state;
  change(machine, {
    fragment: 'none',
    bytes: whole.bytes,
    known: whole.known,
    transportOffset: whole.transportOffset,
    certainLength: whole.certainLength,
    largestLength: whole.largestLength,
  });
  return machine.state;
}
