/** @module `ct` and `notrack` (nft_ct.c): what connection tracking has attached to the packet. */
import type { CtKey, ExpressionOf } from '../../model.ts';
import {
  because,
  change,
  changeConntrack,
  loadWord,
  type Machine,
  type Step,
  type StepResult,
  store,
  storeUnknown,
  storeWord,
} from '../machine.ts';
import { stateBits, type Tuple, untracked } from '../state.ts';
import { maybe, no, yes } from '../ternary.ts';
import { protocolFamilies } from './meta.ts';

const lengths: Readonly<Partial<Record<CtKey, number>>> = {
  'direction': 1,
  'helper': 16,
  'l3proto': 1,
  'src': 16,
  'dst': 16,
  'protocol': 1,
  'proto-src': 2,
  'proto-dst': 2,
  'label': 16,
  'packets': 8,
  'bytes': 8,
  'avgpkt': 8,
  'zone': 2,
  'src-ip6': 16,
  'dst-ip6': 16,
};

export function compileCt({ key, direction, register }: ExpressionOf<'ct'>): Step {
  if (key === 'state') return (machine) => loadState(machine, register);
  const origin = `ct ${key} is not known`;
  const length = lengths[key] ?? 4;
  return (machine) => {
    const { conntrack } = machine.state;
    // No entry: NFT_BREAK.
    if (conntrack.entry === no) return no;
    if (!load(machine, key, direction, register)) {
      storeUnknown(machine, register, length, origin);
      // A connection without a master or helper has no `ct helper`; one of the other family has no address of this.
      if (key === 'helper') return because(machine, origin);
    }
    if (!isOfFamily(machine, key)) return no;
    return conntrack.entry === maybe
      ? because(machine, 'whether the packet is tracked is not known')
      : yes;
  };
}

/** TCP, UDP, SCTP: their trackers keep both ports. */
const tracked: ReadonlySet<number> = new Set([6, 17, 132]);

/** One bit is set, of those that are possible. */
function loadState(machine: Machine, register: number): StepResult {
  const { states } = machine.state.conntrack;
  const single = (states & (states - 1)) === 0;
  const known = single ? 0xffffffff : ~states >>> 0;
  storeWord(
    machine,
    register,
    single ? states : 0,
    known,
    'the state of the connection is not known',
  );
  return yes;
}

function isOfFamily({ state }: Machine, key: CtKey): boolean {
  if (key === 'src-ip' || key === 'dst-ip') return state.family === 'ip';
  if (key === 'src-ip6' || key === 'dst-ip6') return state.family === 'ip6';
  return true;
}

/** False where it is not known. */
function load(
  machine: Machine,
  key: CtKey,
  direction: 'original' | 'reply' | undefined,
  register: number,
): boolean {
  const { conntrack, family, protocol } = machine.state;
  switch (key) {
    case 'mark':
      storeWord(machine, register, conntrack.mark, conntrack.markKnown, 'the ct mark is not known');
      return true;
    case 'status':
      storeWord(
        machine,
        register,
        conntrack.status,
        conntrack.statusKnown,
        'ct status is not known',
      );
      return true;
    case 'direction':
      if (conntrack.direction === undefined) return false;
      store(machine, register, Uint8Array.of(conntrack.direction), undefined, 1, '');
      return true;
    case 'l3proto':
      store(machine, register, Uint8Array.of(protocolFamilies[family]), undefined, 1, '');
      return true;
    case 'protocol':
      store(machine, register, Uint8Array.of(protocol), undefined, 1, '');
      return true;
    case 'zone':
      if (conntrack.zone === undefined) return false;
      store(
        machine,
        register,
        Uint8Array.of(conntrack.zone & 255, conntrack.zone >> 8),
        undefined,
        2,
        '',
      );
      return true;
    case 'label':
      if (!conntrack.unlabelled) return false;
      store(machine, register, new Uint8Array(16), undefined, 16, '');
      return true;
    case 'src':
    case 'dst':
    case 'src-ip':
    case 'dst-ip':
    case 'src-ip6':
    case 'dst-ip6':
    case 'proto-src':
    case 'proto-dst':
      if (direction !== 'original' || conntrack.original === undefined) return false;
      return loadTuple(machine, key, conntrack.original, register);
    default:
      return false;
  }
}

function loadTuple(machine: Machine, key: CtKey, tuple: Tuple, register: number): boolean {
  const { family, protocol } = machine.state;
  const source = key.includes('src');
  const origin = `the original ${source ? 'source' : 'destination'} is not known`;
  let [at, length] = family === 'ip' ? [source ? 12 : 16, 4] : [source ? 8 : 24, 16];
  if (key.startsWith('proto')) {
    // Of ICMP these are the identifier, and type and code; of others newer kernels keep none.
    if (!tracked.has(protocol)) return false;
    [at, length] = [tuple.transportOffset + (source ? 0 : 2), 2];
  }
  if (at + length > tuple.bytes.length) return false;
  store(machine, register, tuple.bytes, tuple.known, length, origin, at);
  return true;
}

export function compileCtSet({ key, direction, register }: ExpressionOf<'ct-set'>): Step {
  switch (key) {
    case 'mark':
      return (machine) => {
        const { conntrack } = machine.state;
        if (conntrack.entry === no || conntrack.template) return yes;
        const { value, known } = loadWord(machine, register);
        changeConntrack(machine, { mark: value, markKnown: known });
        return yes;
      };
    case 'label':
      return (machine) => {
        if (machine.state.conntrack.entry !== no) changeConntrack(machine, { unlabelled: false });
        return yes;
      };
    case 'zone':
      return (machine) => {
        const { value, known } = loadWord(machine, register);
        setZone(
          machine,
          direction === undefined && (known & 0xffff) === 0xffff ? value & 0xffff : undefined,
        );
        return yes;
      };
    default:
      return () => yes;
  }
}

/** nft_ct_set_zone_eval: an untracked template, of which `ct state` says new, until conntrack takes it. */
export function setZone(machine: Machine, zone: number | undefined): void {
  const { conntrack } = machine.state;
  if (conntrack.entry === yes) return;
  change(machine, {
    conntrack: {
      ...untracked,
      states: stateBits.new,
      entry: yes,
      template: true,
      markKnown: 0xffffffff,
      ...(zone === undefined ? {} : { zone }),
    },
  });
}

/** nft_notrack_eval: a packet that is tracked already stays so. */
export function compileNotrack(): Step {
  return (machine) => {
    setUntracked(machine);
    return yes;
  };
}

export function setUntracked(machine: Machine): void {
  const { conntrack } = machine.state;
  if (conntrack.entry === no && conntrack.states !== stateBits.untracked) {
    change(machine, { conntrack: untracked });
  } else if (conntrack.entry === maybe) {
    change(machine, {
      conntrack: { ...conntrack, states: conntrack.states | stateBits.untracked },
    });
  }
}
