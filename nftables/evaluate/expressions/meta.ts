/** @module `meta` (nft_meta.c): what the kernel knows of a packet besides its bytes. */
import type { ExpressionOf, MetaKey } from '../../model.ts';
import {
  because,
  change,
  type Device,
  loadWord,
  type Machine,
  type Step,
  type StepResult,
  store,
  storeUnknown,
  storeWord,
} from '../machine.ts';
import { addressAt } from '../state.ts';
import { maybe, no, yes } from '../ternary.ts';

const UDP = 17;
/** enum nfproto */
export const protocolFamilies = { ip: 2, netdev: 5, bridge: 7, ip6: 10 } as const;
const etherTypes = { ip: [0x08, 0x00], ip6: [0x86, 0xdd] } as const;

const lengths: Readonly<Partial<Record<MetaKey, number>>> = {
  protocol: 2,
  iifname: 16,
  oifname: 16,
  iiftype: 2,
  oiftype: 2,
  nftrace: 1,
  nfproto: 1,
  l4proto: 1,
  ibrname: 16,
  obrname: 16,
  pkttype: 1,
  ipsec: 1,
  iifkind: 16,
  oifkind: 16,
  ibrpvid: 2,
  ibrvproto: 2,
  time: 8,
  day: 1,
  sdifname: 16,
  broute: 1,
  ibrhwaddr: 6,
};

export function compileMeta({ key, register }: ExpressionOf<'meta'>): Step {
  const origin = `meta ${key} is not known`;
  const length = lengths[key] ?? 4;
  const unknown = (machine: Machine): StepResult => {
    storeUnknown(machine, register, length, origin);
    return yes;
  };
  /** Not known, and also not whether there is such a thing: then the kernel breaks. */
  const mayBreak = (machine: Machine): StepResult => {
    storeUnknown(machine, register, length, origin);
    return because(machine, origin);
  };
  switch (key) {
    case 'length':
      return (machine) => {
        const { certainLength, largestLength } = machine.state;
        const known = certainLength === largestLength && machine.hook !== 'egress';
        storeWord(machine, register, certainLength, known ? 0xffffffff : 0, 'the length is open');
        return yes;
      };
    case 'protocol':
      return (machine) => {
        store(
          machine,
          register,
          Uint8Array.from(etherTypes[machine.state.family]),
          undefined,
          2,
          origin,
        );
        return yes;
      };
    case 'nfproto':
      return (machine) => {
        const family = protocolFamilies[machine.protocolFamily];
        store(machine, register, Uint8Array.of(family), undefined, 1, origin);
        return yes;
      };
    case 'l4proto':
      return (machine) => {
        store(machine, register, Uint8Array.of(machine.state.protocol), undefined, 1, origin);
        return yes;
      };
    case 'mark':
      return (machine) => storeMark(machine, register);
    case 'priority':
      return (machine) => {
        const { priority, priorityKnown } = machine.state;
        storeWord(machine, register, priority, priorityKnown, origin);
        return yes;
      };
    case 'iif':
    case 'oif':
      return (machine) => {
        const device = deviceOf(machine, key);
        // Without a device the kernel gives 0.
        const index = device.present === no ? 0 : device.index;
        storeWord(machine, register, index ?? 0, index === undefined ? 0 : 0xffffffff, origin);
        return yes;
      };
    case 'iifname':
    case 'oifname':
      return (machine) => {
        const device = deviceOf(machine, key);
        const name = device.present === no ? noName : device.name;
        if (name === undefined) return unknown(machine);
        const known = device.present === no ? undefined : device.nameKnown;
        store(machine, register, name, known, 16, origin);
        return yes;
      };
    case 'iiftype':
    case 'oiftype':
      return (machine) => {
        const { present, type } = deviceOf(machine, key);
        if (present === no) return no;
        if (type === undefined) return present === maybe ? mayBreak(machine) : unknown(machine);
        store(machine, register, Uint8Array.of(type & 255, type >> 8), undefined, 2, origin);
        return present;
      };
    case 'iifgroup':
    case 'oifgroup':
      return (machine) => {
        const { present, group } = deviceOf(machine, key);
        if (present === no) return no;
        if (group === undefined) return present === maybe ? mayBreak(machine) : unknown(machine);
        storeWord(machine, register, group, 0xffffffff, origin);
        return present;
      };
    case 'iifkind':
    case 'oifkind':
      return (machine) => {
        const { present, kind } = deviceOf(machine, key);
        // A device without rtnl_link_ops has no kind: NFT_BREAK.
        if (present === no || kind === null) return no;
        if (kind === undefined) return mayBreak(machine);
        const bytes = new Uint8Array(16);
        bytes.set(new TextEncoder().encode(kind).subarray(0, 16));
        store(machine, register, bytes, undefined, 16, origin);
        return present;
      };
    case 'skuid':
    case 'skgid':
      return (machine) => {
        // A packet from elsewhere has no socket yet, unless early demultiplexing or tproxy found one.
        const fresh =
          (machine.state.conntrack.states & 6) === 0 && machine.state.intercepted === no;
        if (!machine.local) {
          const demultiplexed = !fresh || machine.state.protocol === UDP;
          return machine.hook === 'input' && demultiplexed ? mayBreak(machine) : no;
        }
        const id = key === 'skuid' ? machine.userId : machine.groupId;
        if (id === undefined) return mayBreak(machine);
        storeWord(machine, register, id, 0xffffffff, origin);
        return yes;
      };
    case 'pkttype':
      return (machine) => {
        const type = packetType(machine);
        if (type === undefined) return unknown(machine);
        store(machine, register, Uint8Array.of(type), undefined, 1, origin);
        return yes;
      };
    case 'time':
    case 'hour':
    case 'day':
      return (machine) => {
        const value = timeOf(machine, key);
        if (value === undefined) return unknown(machine);
        store(machine, register, value, undefined, length, origin);
        return yes;
      };
    case 'ibrname':
    case 'obrname':
    case 'ibrpvid':
    case 'ibrvproto':
    case 'ibrhwaddr':
    case 'rtclassid':
    case 'cgroup':
      return mayBreak;
    case 'secmark':
    case 'cpu':
    case 'random':
    case 'ipsec':
    case 'sdif':
    case 'sdifname':
    case 'broute':
    case 'nftrace':
      return unknown;
    default:
      return mayBreak;
  }
}

const noName = new Uint8Array(16);

function storeMark(machine: Machine, register: number): StepResult {
  const { mark, markKnown } = machine.state;
  storeWord(machine, register, mark, markKnown, 'the mark is not known');
  return yes;
}

function deviceOf(machine: Machine, key: MetaKey): Device {
  return key.startsWith('i') ? machine.input : machine.output;
}

// linux/if_packet.h
const PACKET_HOST = 0;
const PACKET_BROADCAST = 1;
const PACKET_MULTICAST = 2;

/** Of a packet for one host; of others it depends on the way that it came. */
export function packetType({ state, host, local, input }: Machine): number | undefined {
  const { family, bytes, known } = state;
  const [at, length] = family === 'ip' ? [16, 4] : [24, 16];
  const first = bytes[at] ?? 0;
  const multicast = family === 'ip' ? (first & 0xf0) === 0xe0 : first === 0xff;
  if (((known[at] ?? 0) & 0xf0) !== 0xf0 || (family === 'ip6' && known[at] !== 255))
    return undefined;
  const onLoopback = input.type === 772;
  if (local) return multicast ? undefined : PACKET_HOST;
  if (multicast) return onLoopback ? undefined : PACKET_MULTICAST;
  if (family === 'ip6') return PACKET_HOST;
  const { value: address, known: addressKnown } = addressAt(bytes, known, at, length);
  if (!addressKnown.every((mask) => mask === 255)) return undefined;
  if (address.every((byte) => byte === 255)) return onLoopback ? undefined : PACKET_BROADCAST;
  const route = host.route(family, address, addressKnown);
  if (route === undefined)
    return host.isLocal(family, address, addressKnown) === yes ? PACKET_HOST : undefined;
  if (route !== 'none' && route.type === 'broadcast')
    return onLoopback ? undefined : PACKET_BROADCAST;
  return PACKET_HOST;
}

/** `hour` is seconds of the day in UTC: nft converts it. The day is by the kernel's own time zone, which may be either. */
function timeOf(machine: Machine, key: 'time' | 'hour' | 'day'): Uint8Array | undefined {
  const now = machine.host.environment.now;
  if (now === undefined || key === 'time') return undefined;
  if (key === 'hour') {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, Math.floor(now.unixSeconds) % 86400, true);
    return bytes;
  }
  const dayOf = (seconds: number): number => (4 + Math.floor(seconds / 86400)) % 7;
  const day = dayOf(now.unixSeconds);
  return day === dayOf(now.unixSeconds + now.offsetMinutes * 60) ? Uint8Array.of(day) : undefined;
}

export function compileMetaSet({ key, register }: ExpressionOf<'meta-set'>): Step {
  switch (key) {
    case 'mark':
      return (machine) => {
        const { value, known } = loadWord(machine, register);
        const { mark, markKnown } = machine.state;
        if (((mark ^ value) & known) !== 0 || known !== markKnown) {
          change(machine, { mark: value, markKnown: known });
        }
        return yes;
      };
    case 'priority':
      return (machine) => {
        const { value, known } = loadWord(machine, register);
        change(machine, { priority: value, priorityKnown: known });
        return yes;
      };
    // What else can be set is nowhere known: packet type, secmark, nftrace, broute.
    default:
      return () => yes;
  }
}
