/** @module Where a packet goes is changed: nat, masq, redir, tproxy (nft_nat.c, nft_masq.c, nft_redir.c, nft_tproxy.c). */
import type { ExpressionOf, NatRange } from '../../model.ts';
import { formatAddress } from '../address.ts';
import { because, change, end, type Machine, type Step, type StepResult } from '../machine.ts';
import { no, yes } from '../ternary.ts';
import type { Rewrite } from '../types.ts';
import { forgetTransportChecksum, writeBytes } from './payload.ts';

/** What a packet gets: absent, what it has. */
export interface Translation {
  readonly address?: { readonly value: Uint8Array; readonly known: Uint8Array };
  readonly port?: { readonly value: Uint8Array; readonly known: Uint8Array };
}

const TCP = 6;
const UDP = 17;
/** Protocols whose ports NAT translates: TCP, UDP, SCTP. */
const withPorts: ReadonlySet<number> = new Set([TCP, UDP, 132]);
/** DCCP and UDPlite, whose ports newer kernels leave alone. */
const perhapsWithPorts: ReadonlySet<number> = new Set([33, 136]);

export function compileNat({ type, family, range }: ExpressionOf<'nat'>): Step {
  return (machine) => {
    // nft_nat_inet_eval: not of this family, so nothing happens.
    if (family !== 'unspecified' && machine.state.family !== family) return yes;
    translate(machine, type, translationOf(machine, range));
    return end(machine, { code: 'accept' });
  };
}

export function compileMasquerade({ range }: ExpressionOf<'masq'>): Step {
  return (machine) => {
    const { port } = translationOf(machine, range);
    masquerade(machine, port);
    return end(machine, { code: 'accept' });
  };
}

/** The address is that of the device that the packet goes out by: known if it has but one. */
export function masquerade(machine: Machine, port?: Translation['port']): void {
  const length = machine.state.family === 'ip' ? 4 : 16;
  const unknown = { value: new Uint8Array(length), known: new Uint8Array(length) };
  translate(machine, 'masquerade', { address: unknown, ...(port === undefined ? {} : { port }) });
}

export function compileRedirect({ range }: ExpressionOf<'redir'>): Step {
  return (machine) => {
    const { port } = translationOf(machine, range);
    redirect(machine, port);
    return end(machine, { code: 'accept' });
  };
}

/** nf_nat_redirect: to the first address of the device that it came in by; of a packet that this host sends, to loopback. */
export function redirect(machine: Machine, port?: Translation['port']): void {
  translate(machine, 'redirect', {
    address: redirectAddress(machine),
    ...(port === undefined ? {} : { port }),
  });
}

function redirectAddress(machine: Machine): { value: Uint8Array; known: Uint8Array } {
  const { family } = machine.state;
  const length = family === 'ip' ? 4 : 16;
  if (machine.hook === 'output') {
    const loopback = new Uint8Array(length);
    loopback[length - 1] = 1;
    if (family === 'ip') loopback[0] = 127;
    return { value: loopback, known: new Uint8Array(length).fill(255) };
  }
  const { text } = machine.input;
  const addresses = text === undefined ? [] : machine.host.addressesOf(text, family);
  const [only] = addresses;
  if (addresses.length === 1 && only !== undefined) {
    return { value: only, known: new Uint8Array(length).fill(255) };
  }
  return { value: new Uint8Array(length), known: new Uint8Array(length) };
}

/** The addresses and ports in the registers; of a range only the bits that its ends share, from the left. */
function translationOf(machine: Machine, range: NatRange): Translation {
  const length = machine.state.family === 'ip' ? 4 : 16;
  const address = rangeOf(machine, range.addressFirst, range.addressLast, length);
  const port = rangeOf(machine, range.portFirst, range.portLast, 2);
  // NF_NAT_RANGE_NETMAP keeps the host's bits; random ports are not told.
  const netmap = (range.flags & 64) !== 0;
  const loose = (known: Uint8Array): Uint8Array => known.map(() => 0);
  return {
    ...(address === undefined
      ? {}
      : { address: netmap ? { ...address, known: loose(address.known) } : address }),
    ...(port === undefined ? {} : { port }),
  };
}

function rangeOf(
  machine: Machine,
  first: number | undefined,
  last: number | undefined,
  length: number,
): { value: Uint8Array; known: Uint8Array } | undefined {
  if (first === undefined) return undefined;
  const value = machine.registers.slice(first * 4, first * 4 + length);
  const known = machine.known.slice(first * 4, first * 4 + length);
  if (last === undefined || last === first) return { value, known };
  let same = true;
  for (let index = 0; index < length; index++) {
    const at = last * 4 + index;
    const difference = (value[index] ?? 0) ^ (machine.registers[at] ?? 0);
    const told = (known[index] ?? 0) & (machine.known[at] ?? 0);
    if (!same) known[index] = 0;
    else if (difference !== 0 || told !== 255) {
      // Bits left of the first one that differs.
      known[index] = told & (0xff00 >> Math.clz32((difference | (~told & 255)) << 24)) & 255;
      same = false;
    }
  }
  return { value, known };
}

const isDestination = (kind: Rewrite['kind']): boolean => kind === 'dnat' || kind === 'redirect';

/**
 * nf_nat_setup_info and nf_nat_packet. A destination keeps its port where none is given; a source may get another one where its own is taken.
 */
export function translate(
  machine: Machine,
  kind: 'dnat' | 'snat' | 'masquerade' | 'redirect',
  { address, port }: Translation,
): void {
  const { state } = machine;
  const destination = isDestination(kind);
  note(machine, kind, {
    ...(address === undefined ? {} : { address }),
    ...(port === undefined ? {} : { port }),
  });
  const before = state.bytes;
  if (address !== undefined) {
    const at = state.family === 'ip' ? (destination ? 16 : 12) : destination ? 24 : 8;
    writeBytes(machine, at, address.value, address.known);
  }
  if (withPorts.has(state.protocol) && state.fragment !== 'later') {
    const at = state.transportOffset + (destination ? 2 : 0);
    if (port !== undefined) writeBytes(machine, at, port.value, port.known);
    else if (!destination) writeBytes(machine, at, new Uint8Array(2), new Uint8Array(2));
  }
  if (perhapsWithPorts.has(state.protocol)) {
    const at = state.transportOffset + (destination ? 2 : 0);
    if (port !== undefined || !destination)
      writeBytes(machine, at, new Uint8Array(2), new Uint8Array(2));
  }
  forgetTransportChecksum(machine);
  // IPS_SRC_NAT 16, IPS_DST_NAT 32: set where something was changed; IPS_SRC_NAT_DONE 128, IPS_DST_NAT_DONE 256.
  const { conntrack } = machine.state;
  const [bit, done] = destination ? [32, 256] : [16, 128];
  const told =
    destination &&
    before !== machine.state.bytes &&
    changesKnown(state.bytes, machine.state.bytes, machine.state.known);
  change(machine, {
    conntrack: {
      ...conntrack,
      status: conntrack.status | bit | done,
      statusKnown: (conntrack.statusKnown | done | bit) & ~(told ? 0 : bit),
    },
    ...(destination
      ? {
          destinationChosen: yes,
          redirected: machine.state.version === state.version ? state.redirected : yes,
        }
      : { sourceChosen: yes }),
  });
}

/** Whether some known bit is another one than before. */
function changesKnown(before: Uint8Array, after: Uint8Array, known: Uint8Array): boolean {
  return before.some((byte, index) => ((byte ^ (after[index] ?? 0)) & (known[index] ?? 0)) !== 0);
}

function note(machine: Machine, kind: Rewrite['kind'], { address, port }: Translation): void {
  const { rule } = machine;
  if (rule === undefined) return;
  const whole = (part: { known: Uint8Array } | undefined): boolean =>
    part !== undefined && part.known.every((mask) => mask === 255);
  machine.rewrites.push({
    rule,
    kind,
    ...(address !== undefined && whole(address) ? { address: formatAddress(address.value) } : {}),
    ...(port !== undefined && whole(port)
      ? { port: ((port.value[0] ?? 0) << 8) | (port.value[1] ?? 0) }
      : {}),
    certain: machine.certain,
  });
}

/**
 * The packet is handed to a transparent socket on that port, if one listens there; else the rule does not match. It goes on through the
 * rules either way.
 */
export function compileTproxy(expression: ExpressionOf<'tproxy'>): Step {
  const { family, addressRegister, portRegister } = expression;
  return (machine): StepResult => {
    const { state } = machine;
    if (state.protocol !== TCP && state.protocol !== UDP) return no;
    if (family !== 'unspecified' && family !== state.family) return no;
    const length = state.family === 'ip' ? 4 : 16;
    const address = rangeOf(machine, addressRegister, undefined, length);
    const port = rangeOf(machine, portRegister, undefined, 2);
    intercept(machine, {
      ...(address === undefined ? {} : { address }),
      ...(port === undefined ? {} : { port }),
    });
    return because(machine, 'whether a transparent proxy listens is not known');
  };
}

export function intercept(machine: Machine, translation: Translation): void {
  const { certain } = machine;
  machine.certain = false;
  note(machine, 'tproxy', translation);
  machine.certain = certain;
  if (machine.state.intercepted === no) change(machine, { intercepted: 1 });
}
