/** @module What each x_tables target does with the packet. */
import type { XtNatRange, XtTarget, XtTargetOf } from '../xt/types.ts';
import { setUntracked, setZone } from './expressions/conntrack.ts';
import { intercept, masquerade, redirect, type Translation, translate } from './expressions/nat.ts';
import { forget } from './expressions/payload.ts';
import { compileQueue } from './expressions/statements.ts';
import { because, change, changeConntrack, end, type Machine, type Step } from './machine.ts';
import { no, yes } from './ternary.ts';

const goOn: Step = () => yes;

export function targetStep(target: XtTarget): Step {
  switch (target.kind) {
    case 'standard': {
      const { verdict } = target;
      return (machine) => end(machine, verdict);
    }
    case 'reject': {
      const ending = { code: 'reject', reject: target.reject } as const;
      return (machine) => end(machine, ending);
    }
    case 'mark':
      return (machine) => {
        setMark(machine, target.value, target.mask);
        return yes;
      };
    case 'connmark':
      return (machine) => {
        applyConnmark(machine, target);
        return yes;
      };
    case 'dnat':
    case 'snat':
      return (machine) => {
        translate(machine, target.kind, translationOf(target.range));
        return end(machine, { code: 'accept' });
      };
    case 'masquerade':
      return (machine) => {
        masquerade(machine, translationOf(target.range).port);
        return end(machine, { code: 'accept' });
      };
    case 'redirect':
      return (machine) => {
        redirect(machine, translationOf(target.range).port);
        return end(machine, { code: 'accept' });
      };
    case 'netmap':
      return (machine) => {
        mapNetwork(machine, target);
        return end(machine, { code: 'accept' });
      };
    case 'ct':
      return (machine) => {
        if (target.notrack) setUntracked(machine);
        // Even with nothing to say the kernel attaches a template.
        else
          setZone(
            machine,
            target.zoneFromMark || target.zoneDirection !== undefined ? undefined : target.zone,
          );
        return yes;
      };
    case 'notrack':
      return (machine) => {
        setUntracked(machine);
        return yes;
      };
    case 'tproxy':
      return (machine) => applyTproxy(machine, target);
    case 'set':
      return (machine) => {
        if (target.mapMark) change(machine, { markKnown: 0 });
        if (target.mapPriority) change(machine, { priorityKnown: 0 });
        return yes;
      };
    case 'classify':
      return (machine) => {
        change(machine, { priority: target.priority, priorityKnown: 0xffff_ffff });
        return yes;
      };
    case 'dscp':
    case 'tos':
      return (machine) => {
        forget(machine, 0, 2);
        return yes;
      };
    case 'ttl':
    case 'hl':
      return (machine) => {
        forget(machine, target.kind === 'ttl' ? 8 : 7, 1);
        return yes;
      };
    case 'nfqueue':
      return compileQueue({
        kind: 'queue',
        number: target.number,
        total: target.total,
        bypass: target.bypass,
        fanout: target.cpuFanout,
      });
    // The size of a segment, a checksum and what is told of a packet change no later rule.
    case 'log':
    case 'nflog':
    case 'tcpmss':
    case 'checksum':
    case 'trace':
    case 'audit':
      return goOn;
  }
}

/** mark = (mark & ~mask) ^ value */
function setMark(machine: Machine, value: number, mask: number): void {
  const { mark, markKnown } = machine.state;
  change(machine, {
    mark: ((mark & ~mask) ^ value) >>> 0,
    markKnown: (markKnown | mask) >>> 0,
  });
}

/** connmark_tg_shift */
function applyConnmark(machine: Machine, target: XtTargetOf<'connmark'>): void {
  const { conntrack, mark, markKnown } = machine.state;
  const { mode, connectionMask, packetMask, shift } = target;
  if (conntrack.entry === no) return;
  const shifted = (number: number): number => {
    if (shift === undefined) return number >>> 0;
    return (shift.direction === 'left' ? number << shift.bits : number >>> shift.bits) >>> 0;
  };
  const isSure = conntrack.entry === yes;
  // Bits that the shift brings in are zeros, hence known.
  const shiftedKnown = (known: number): number => ~shifted(~known) >>> 0;
  if (mode === 'restore') {
    const moved = shifted(conntrack.mark & connectionMask);
    const movedKnown = shiftedKnown(conntrack.markKnown | ~connectionMask);
    const known = (markKnown | packetMask) & movedKnown;
    change(machine, {
      mark: ((mark & ~packetMask) ^ moved) >>> 0,
      markKnown: isSure ? known >>> 0 : 0,
    });
    return;
  }
  if (conntrack.template) return;
  if (mode === 'set') {
    const combined = (conntrack.mark & ~connectionMask) ^ target.mark;
    const known = shiftedKnown(conntrack.markKnown | connectionMask);
    changeConntrack(machine, { mark: shifted(combined), markKnown: isSure ? known : 0 });
    return;
  }
  const moved = shifted(mark & packetMask);
  const movedKnown = shiftedKnown(markKnown | ~packetMask);
  const known = (conntrack.markKnown | connectionMask) & movedKnown;
  changeConntrack(machine, {
    mark: ((conntrack.mark & ~connectionMask) ^ moved) >>> 0,
    markKnown: isSure ? known >>> 0 : 0,
  });
}

// NF_NAT_RANGE_*
const RANDOM = 4 | 16;
const PORT_OFFSET = 32;

function translationOf(range: XtNatRange): Translation {
  const { addressFirst, addressLast, portFirst, portLast, flags } = range;
  const address =
    addressFirst === undefined || addressLast === undefined
      ? undefined
      : shared(addressFirst, addressLast);
  const bytes = (port: number): Uint8Array => Uint8Array.of(port >> 8, port & 0xff);
  const isLoose = (flags & (RANDOM | PORT_OFFSET)) !== 0;
  const port =
    portFirst === undefined || portLast === undefined
      ? undefined
      : shared(bytes(portFirst), bytes(portLast));
  const loosePort =
    port !== undefined && isLoose && portFirst !== portLast
      ? { ...port, known: new Uint8Array(2) }
      : port;
  return {
    ...(address === undefined ? {} : { address }),
    ...(loosePort === undefined ? {} : { port: loosePort }),
  };
}

/** A value between two: the bits that both share from the left are known. */
function shared(first: Uint8Array, last: Uint8Array): Required<Translation>['address'] {
  let isSame = true;
  const known = first.map((byte, index) => {
    const difference = byte ^ (last[index] ?? 0);
    if (!isSame) return 0;
    if (difference === 0) return 0xff;
    isSame = false;
    return (0xff00 >> Math.clz32(difference << 24)) & 0xff;
  });
  return { value: first, known };
}

/** NETMAP keeps the host's bits and gives the network's: the destination in prerouting and output, else the source. */
function mapNetwork(machine: Machine, { range }: XtTargetOf<'netmap'>): void {
  const { addressFirst, addressLast } = range;
  if (addressFirst === undefined || addressLast === undefined) return;
  const isDestination = machine.hook === 'prerouting' || machine.hook === 'output';
  const { bytes, known, family } = machine.state;
  const [source, destination] = family === 'ip' ? [12, 16] : [8, 24];
  const at = isDestination ? destination : source;
  const network = addressFirst.map((byte, index) => ~(byte ^ (addressLast[index] ?? 0)) & 0xff);
  const value = addressFirst.map((byte, index) => {
    const mask = network[index] ?? 0;
    return (byte & mask) | ((bytes[at + index] ?? 0) & ~mask);
  });
  const told = network.map((mask, index) => mask | (known[at + index] ?? 0));
  translate(machine, isDestination ? 'dnat' : 'snat', { address: { value, known: told } });
}

/** tproxy_tg4: where a socket listens the packet is marked, given to it and accepted; else it is dropped. */
function applyTproxy(machine: Machine, target: XtTargetOf<'tproxy'>): ReturnType<Step> {
  const { state } = machine;
  if (state.protocol !== 6 && state.protocol !== 17) return end(machine, { code: 'drop' });
  const { address, port, mark } = target;
  intercept(machine, {
    ...(address === undefined
      ? {}
      : { address: { value: address, known: new Uint8Array(address.length).fill(255) } }),
    ...(port === 0
      ? {}
      : { port: { value: Uint8Array.of(port >> 8, port & 0xff), known: Uint8Array.of(255, 255) } }),
  });
  setMark(machine, mark.value, mark.mask);
  machine.endings = [{ code: 'accept' }, { code: 'drop' }];
  machine.endingCertain = true;
  because(machine, 'whether a transparent proxy listens is not known');
  return 3;
}
