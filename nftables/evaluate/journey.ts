/** @module From the first hook to the last, with the routing decisions between them. */
import { noDevice, someDevice } from './host.ts';
import { type Device, joinStates } from './machine.ts';
import { initialState } from './packet.ts';
import type { PacketState } from './state.ts';
import { maybe, no, type Ternary, yes } from './ternary.ts';
import { lookUp } from './tracking.ts';
import { type Journey, passHook } from './traverse.ts';

const loopbackType = 772;

/** Gives the packet as it arrives; undefined if it never does. */
export function travel(journey: Journey): PacketState | undefined {
  switch (journey.packet.direction) {
    case 'in':
      return travelIn(journey);
    case 'out':
      return travelOut(journey);
    case 'forward':
      return travelForward(journey);
  }
}

function inputOf({ packet, machine }: Journey): Device {
  return packet.inInterface === undefined ? someDevice : machine.host.device(packet.inInterface);
}

/** The device that was asked for, or that the route to the packet's destination leads to. */
function outputOf({ packet, machine }: Journey, state: PacketState): Device {
  if (packet.outInterface !== undefined && state.redirected === no) {
    return machine.host.device(packet.outInterface);
  }
  const { value, known } = destinationOf(state);
  const route = machine.host.route(state.family, value, known);
  if (route === undefined || route === 'none') return someDevice;
  if (route.type === 'local') return machine.host.device('lo');
  const [only] = route.interfaces;
  return only !== undefined && route.interfaces.length === 1
    ? machine.host.device(only)
    : someDevice;
}

export function destinationOf({ family, bytes, known }: PacketState): {
  readonly value: Uint8Array;
  readonly known: Uint8Array;
} {
  const [at, length] = family === 'ip' ? [16, 4] : [24, 16];
  return { value: bytes.subarray(at, at + length), known: known.subarray(at, at + length) };
}

/** Ingress and prerouting, which what comes from outside meets whatever it is for. */
function enter(journey: Journey, input: Device): PacketState | undefined {
  const { packet, machine } = journey;
  const start = machine.state;
  // A packet that this host sent to itself has its entry of conntrack still.
  if (input.type === loopbackType && journey.program.tracks(start.family)) {
    machine.state = { ...start, conntrack: lookUp(packet, start) };
  }
  const devices = { input, output: noDevice, name: packet.inInterface };
  const arrived = passHook(journey, 'ingress', machine.state, devices);
  if (arrived === undefined) return undefined;
  return passHook(journey, 'prerouting', reassembled(journey, arrived), devices);
}

function travelIn(journey: Journey): PacketState | undefined {
  const input = inputOf(journey);
  const start = journey.machine.state;
  const routed = enter(journey, input);
  if (routed === undefined) return undefined;
  const local = isLocalStill(journey, start, routed);
  if (local === yes) return passHook(journey, 'input', routed, { input, output: noDevice });
  if (local === no) return passOn(journey, routed, input);
  const met = journey.met;
  journey.met = false;
  const [delivered, forwarded] = [
    passHook(journey, 'input', routed, { input, output: noDevice }),
    passOn(journey, routed, input),
  ];
  journey.met = met && journey.ended.length === 0;
  return joinStates(journey.machine, delivered, forwarded);
}

/** A packet that was asked about as one for this host is so as long as no rule has given it another destination. */
function isLocalStill({ machine }: Journey, before: PacketState, after: PacketState): Ternary {
  if (after.redirected === no) return yes;
  const [asked, found] = [destinationOf(before), destinationOf(after)];
  const same =
    asked.value.every((byte, index) => byte === found.value[index]) &&
    asked.known.every((byte, index) => byte === found.known[index]);
  if (same) return yes;
  const onlyLocal = machine.rewrites.every(({ kind }) => kind === 'redirect' || kind === 'tproxy');
  if (onlyLocal) return yes;
  const local = machine.host.isLocal(after.family, found.value, found.known);
  // If no rule changed it after all, it is for this host.
  return after.redirected === maybe && local === no ? maybe : local;
}

/** Forward, postrouting and egress. */
function passOn(journey: Journey, state: PacketState, input: Device): PacketState | undefined {
  const output = outputOf(journey, state);
  const forwarded = passHook(journey, 'forward', state, { input, output });
  return forwarded === undefined ? undefined : leave(journey, forwarded, input, output);
}

function leave(
  journey: Journey,
  state: PacketState,
  input: Device,
  output: Device,
): PacketState | undefined {
  const sent = passHook(journey, 'postrouting', state, { input, output });
  if (sent === undefined) return undefined;
  return passHook(journey, 'egress', sent, { input: noDevice, output, name: textOf(output) });
}

function textOf({ name }: Device): string | undefined {
  return name === undefined ? undefined : new TextDecoder().decode(name).replace(/\0.*/s, '');
}

function travelForward(journey: Journey): PacketState | undefined {
  const input = inputOf(journey);
  const routed = enter(journey, input);
  return routed === undefined ? undefined : passOn(journey, routed, input);
}

function travelOut(journey: Journey): PacketState | undefined {
  const { machine } = journey;
  const start = reassembled(journey, machine.state);
  const output = outputOf(journey, start);
  const sent = passHook(journey, 'output', start, { input: noDevice, output });
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
  if (after.redirected !== no) {
    const device = outputOf(journey, after);
    return after.redirected === yes ? device : someDevice;
  }
  const marked = after.mark !== before.mark || after.markKnown !== before.markKnown;
  const byMark = journey.machine.host.environment.hasPolicyRouting !== false;
  return marked && byMark && journey.packet.outInterface === undefined ? someDevice : output;
}

/** nf_defrag, at priority -400: where conntrack is used only whole packets go on. */
function reassembled({ packet, program, machine }: Journey, state: PacketState): PacketState {
  if (state.fragment === 'none' || !program.tracks(state.family)) return state;
  const { length: _length, ...rest } = packet;
  const whole = initialState({ ...rest, fragment: 'none' });
  machine.lastVersion += 1;
  return {
    ...state,
    version: machine.lastVersion,
    fragment: 'none',
    bytes: whole.bytes,
    known: whole.known,
    transportOffset: whole.transportOffset,
    certainLength: whole.certainLength,
    largestLength: whole.largestLength,
  };
}
