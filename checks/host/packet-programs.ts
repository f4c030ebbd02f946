/**
 * @module Programs and filters before and behind netfilter that the evaluation of rules does not know: XDP, tc's ingress and egress
 * (filters of clsact and ingress qdiscs), tcx. Only listed, never judged.
 */
import { arch } from 'node:process';
import koffi from 'koffi';
import { viewOf } from '../packet/bytes.ts';
import { HostError } from './host.ts';
import {
  askKernel,
  decodeAttributes,
  encodeRequest,
  type Message,
  NETLINK_ROUTE,
  NLM_F_DUMP,
} from './netlink.ts';
import type { Device } from './surroundings.ts';

/** One program or filter that may take, change or drop packets where no rule sees it. */
export interface PacketProgram {
  readonly interface: string;
  readonly place: 'xdp' | 'tc-ingress' | 'tc-egress';
  /** For a person: `bpf cil_from_netdev`, `u32`, `program 12`. */
  readonly name: string;
}

/** A filter of tc, and when it is asked. */
export interface TrafficFilter {
  readonly interface: string;
  readonly place: 'tc-ingress' | 'tc-egress';
  /** As of a `PacketProgram`. */
  readonly name: string;
  /** The smaller one is asked first; a program of tcx comes before all filters, and has 0. */
  readonly priority: number;
}

// linux/rtnetlink.h, linux/pkt_sched.h
const RTM_NEWQDISC = 36;
const RTM_GETQDISC = 38;
const RTM_NEWTFILTER = 44;
const RTM_GETTFILTER = 46;
const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_BPF_NAME = 7;
/** TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS or TC_H_MIN_EGRESS); the ingress qdisc's own handle is that of clsact. */
const TC_H_CLSACT = 0xffff0000;
const ingressParent = 0xfffffff2;
const egressParent = 0xfffffff3;

/** Lists what is attached to the interfaces of this namespace. */
export function readPacketPrograms(devices: readonly Device[]): readonly PacketProgram[] {
  const programs: PacketProgram[] = [];
  for (const { name, xdp } of devices) {
    if (xdp !== undefined)
      programs.push({
        interface: name,
        place: 'xdp',
        name: xdp === 0 ? 'a program' : `program ${xdp}`,
      });
  }
  const names = new Map(devices.map(({ index, name }) => [index, name]));
  for (const index of classifiedDevices()) {
    const device = names.get(index);
    if (device === undefined) continue;
    for (const [place, parent] of [
      ['tc-ingress', ingressParent],
      ['tc-egress', egressParent],
    ] as const) {
      const found = new Set(filtersOf(index, parent).map(({ name }) => name));
      for (const name of found) programs.push({ interface: device, place, name });
    }
  }
  for (const { index, name: device } of devices) {
    for (const [place, attachType] of [
      ['tc-ingress', BPF_TCX_INGRESS],
      ['tc-egress', BPF_TCX_EGRESS],
    ] as const) {
      for (const id of tcxPrograms(index, attachType))
        programs.push({ interface: device, place, name: `tcx program ${id}` });
    }
  }
  return programs;
}

/** Lists the filters of tc, and programs of tcx, with their priorities. */
export function readTrafficFilters(
  devices: readonly Pick<Device, 'name' | 'index'>[],
): readonly TrafficFilter[] {
  const classified = classifiedDevices();
  return devices.flatMap(({ name: device, index }) =>
    (['tc-ingress', 'tc-egress'] as const).flatMap((place) => {
      const [parent, attachType] =
        place === 'tc-ingress' ? [ingressParent, BPF_TCX_INGRESS] : [egressParent, BPF_TCX_EGRESS];
      const programs = tcxPrograms(index, attachType);
      const filters = classified.has(index) ? filtersOf(index, parent) : [];
      return [
        ...programs.map((id) => ({ name: `tcx program ${id}`, priority: 0 })),
        ...filters,
      ].map((one) => ({ interface: device, place, ...one }));
    }),
  );
}

/** Those on the way of a packet that comes in or goes out there, also below a bond, bridge or VLAN. */
export function programsOnPath(
  programs: readonly PacketProgram[],
  devices: readonly Device[],
  path: { readonly inInterface?: string; readonly outInterface?: string },
): readonly PacketProgram[] {
  if (programs.length === 0) return [];
  const incoming = new Set(withLower(path.inInterface, devices));
  const outgoing = new Set(withLower(path.outInterface, devices));
  return programs.filter(({ interface: name, place }) =>
    place === 'tc-egress' ? outgoing.has(name) : incoming.has(name),
  );
}

/** An interface, the devices that it is made of, and theirs. */
function withLower(name: string | undefined, devices: readonly Device[]): readonly string[] {
  const first = devices.find((device) => device.name === name);
  if (first === undefined) return [];
  const found = new Set([first]);
  for (const upper of found) {
    for (const device of devices) {
      if (device.index === upper.lower || device.masterIndex === upper.index) found.add(device);
    }
  }
  return [...found].map((device) => device.name);
}

/** struct tcmsg: u8 family, 3 bytes, i32 interface, u32 handle, u32 parent, u32 info. */
const tcmsgBytes = 20;

function classifiedDevices(): ReadonlySet<number> {
  const found = new Set<number>();
  for (const { type, payload } of ask(RTM_GETQDISC, new Uint8Array(tcmsgBytes))) {
    if (type !== RTM_NEWQDISC || payload.length < tcmsgBytes) continue;
    const view = viewOf(payload);
    if (view.getUint32(8, true) >>> 0 === TC_H_CLSACT) found.add(view.getInt32(4, true));
  }
  return found;
}

function filtersOf(
  index: number,
  parent: number,
): readonly Pick<TrafficFilter, 'name' | 'priority'>[] {
  const header = new Uint8Array(tcmsgBytes);
  const view = viewOf(header);
  view.setInt32(4, index, true);
  view.setUint32(12, parent, true);
  return ask(RTM_GETTFILTER, header)
    .filter(({ type }) => type === RTM_NEWTFILTER)
    .flatMap(({ payload }) => {
      const name = decodeFilter(payload);
      // The priority is the upper half of the last number of struct tcmsg, the protocol the lower one.
      return name === undefined ? [] : [{ name, priority: viewOf(payload).getUint16(18, true) }];
    });
}

/** Decodes RTM_NEWTFILTER: TCA_KIND is its type; one of type `bpf` has a name in its options. */
export function decodeFilter(payload: Uint8Array): string | undefined {
  if (payload.length < tcmsgBytes) return undefined;
  const attributes = new Map(
    decodeAttributes(payload.subarray(tcmsgBytes)).map(({ type, value }) => [type, value]),
  );
  const kind = text(attributes.get(TCA_KIND));
  if (kind === undefined) return undefined;
  if (kind !== 'bpf') return kind;
  const options = decodeAttributes(attributes.get(TCA_OPTIONS) ?? new Uint8Array());
  // Without options it is only the head of a priority, and its filters follow.
  if (options.length === 0) return undefined;
  return `bpf ${text(options.find(({ type }) => type === TCA_BPF_NAME)?.value) ?? 'without a name'}`;
}

function ask(message: number, header: Uint8Array): readonly Message[] {
  try {
    return askKernel(NETLINK_ROUTE, encodeRequest(message, NLM_F_DUMP, header));
  } catch (cause) {
    // A kernel without CONFIG_NET_SCHED has nothing there; a device may go while it is asked about.
    if (cause instanceof HostError) return [];
    throw cause;
  }
}

// linux/bpf.h: BPF_PROG_QUERY, and the attach types of tcx (Linux 6.6).
const BPF_PROG_QUERY = 16;
const BPF_TCX_INGRESS = 46;
const BPF_TCX_EGRESS = 47;
const listedPrograms = 64;
const syscallNumbers: Readonly<Record<string, number>> = { x64: 321, arm64: 280, riscv64: 280 };

const syscall: (number: number, command: number, attributes: Uint8Array, size: number) => number =
  koffi.load(null).func('long syscall(long, int, void *, uint32_t)');

/**
 * union bpf_attr of BPF_PROG_QUERY: u32 interface, u32 attach type, u32 query flags, u32 attach flags, u64 pointer to ids, u32 count.
 * Needs CAP_NET_ADMIN and a seccomp filter that lets bpf(2) pass; where it is refused nothing is known of tcx, and none is listed.
 */
function tcxPrograms(index: number, attachType: number): readonly number[] {
  const number = syscallNumbers[arch];
  if (number === undefined) return [];
  const ids = new Uint32Array(listedPrograms);
  const attributes = new Uint8Array(64);
  const view = viewOf(attributes);
  view.setUint32(0, index, true);
  view.setUint32(4, attachType, true);
  view.setBigUint64(16, koffi.address(ids), true);
  view.setUint32(24, listedPrograms, true);
  if (syscall(number, BPF_PROG_QUERY, attributes, attributes.length) < 0) return [];
  return [...ids.subarray(0, Math.min(view.getUint32(24, true), listedPrograms))];
}

function text(value: Uint8Array | undefined): string | undefined {
  if (value === undefined) return undefined;
  const end = value.indexOf(0);
  return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
}
