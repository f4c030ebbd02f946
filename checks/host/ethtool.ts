/** @module What a network driver calls itself, and what it leaves to the hardware, from ethtool's ioctl. Asking changes nothing and needs no rights. */
import { constants } from 'node:os';
import koffi from 'koffi';
import { viewOf } from '../packet/bytes.ts';
import { HostError } from './host.ts';

/** A driver and its features. */
export interface DriverFacts {
  /** `vmxnet3`, `ixgbe`, `veth` …; for virtual devices the name that their driver gives itself. */
  readonly driver: string;
  /** What it calls its version: the kernel's release for those that come with it. */
  readonly version: string;
  /** Names as `ethtool -k` of the kernel has them (`tx-udp_tnl-segmentation`), with whether they are on. */
  readonly features: ReadonlyMap<string, boolean>;
}

// linux/ethtool.h, linux/sockios.h
const SIOCETHTOOL = 0x8946;
const ETHTOOL_GDRVINFO = 0x3;
const ETHTOOL_GSTRINGS = 0x1b;
const ETHTOOL_GSSET_INFO = 0x37;
const ETHTOOL_GFEATURES = 0x3a;
const ETH_SS_FEATURES = 4;
const stringBytes = 32;
/** Of struct ethtool_drvinfo. */
const driverInfoBytes = 196;
const mostFeatures = 512;

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;

const libc = koffi.load(null);
const openSocket: (family: number, type: number, protocol: number) => number = libc.func(
  'int socket(int, int, int)',
);
const closeSocket: (fd: number) => number = libc.func('int close(int)');
const ioctl: (fd: number, request: number, argument: Uint8Array) => number = libc.func(
  'int ioctl(int, unsigned long, void *)',
);

/** Asks; undefined where there is no such interface, or where its driver tells nothing. */
export function readDriver(name: string): DriverFacts | undefined {
  const fd = openSocket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new HostError('EMFILE', 'no socket for ethtool');
  try {
    // struct ethtool_drvinfo: u32 command, then texts of 32 bytes: driver, version, firmware …
    const info = ask(fd, name, ETHTOOL_GDRVINFO, driverInfoBytes);
    if (info === undefined) return undefined;
    return {
      driver: text(info.subarray(4, 4 + stringBytes)),
      version: text(info.subarray(4 + stringBytes, 4 + 2 * stringBytes)),
      features: featuresOf(fd, name),
    };
  } finally {
    closeSocket(fd);
  }
}

function featuresOf(fd: number, name: string): ReadonlyMap<string, boolean> {
  // struct ethtool_sset_info: u32 command, u32 reserved, u64 mask of the sets asked for, u32 lengths.
  const sizes = ask(fd, name, ETHTOOL_GSSET_INFO, 24, (view) => {
    view.setBigUint64(8, 1n << BigInt(ETH_SS_FEATURES), true);
  });
  const count = sizes === undefined ? 0 : viewOf(sizes).getUint32(16, true);
  if (count === 0 || count > mostFeatures) return new Map();
  // struct ethtool_gstrings: u32 command, u32 set, u32 length, then texts of 32 bytes.
  const strings = ask(fd, name, ETHTOOL_GSTRINGS, 12 + count * stringBytes, (view) => {
    view.setUint32(4, ETH_SS_FEATURES, true);
    view.setUint32(8, count, true);
  });
  // struct ethtool_gfeatures: u32 command, u32 blocks, then for each 32 features u32 available, requested, active, never changed.
  const blocks = Math.ceil(count / 32);
  const bits = ask(fd, name, ETHTOOL_GFEATURES, 8 + blocks * 16, (view) => {
    view.setUint32(4, blocks, true);
  });
  if (strings === undefined || bits === undefined) return new Map();
  return decodeFeatures(strings.subarray(12), bits.subarray(8));
}

/** Names in order, and the third of four words of every block of 32: what is active. */
export function decodeFeatures(
  strings: Uint8Array,
  bits: Uint8Array,
): ReadonlyMap<string, boolean> {
  const view = viewOf(bits);
  const features = new Map<string, boolean>();
  for (let index = 0; (index + 1) * stringBytes <= strings.length; index += 1) {
    const at = Math.floor(index / 32) * 16 + 8;
    if (at + 4 > bits.length) break;
    const name = text(strings.subarray(index * stringBytes, (index + 1) * stringBytes));
    const active = view.getUint32(at, true);
    if (name !== '') features.set(name, ((active >>> (index % 32)) & 1) === 1);
  }
  return features;
}

/** struct ifreq: the name in 16 bytes, then a pointer to the command and its answer. */
function ask(
  fd: number,
  name: string,
  command: number,
  size: number,
  fill: (view: DataView) => void = () => undefined,
): Uint8Array | undefined {
  const data = new Uint8Array(size);
  const view = viewOf(data);
  view.setUint32(0, command, true);
  fill(view);
  const request = new Uint8Array(40);
  request.set(new TextEncoder().encode(name).subarray(0, 15));
  viewOf(request).setBigUint64(16, koffi.address(data), true);
  if (ioctl(fd, SIOCETHTOOL, request) === 0) return data;
  const errno = koffi.errno();
  const { ENODEV, EOPNOTSUPP } = constants.errno;
  if (errno === ENODEV || errno === EOPNOTSUPP) return undefined;
  throw new HostError(errno === constants.errno.EPERM ? 'EPERM' : 'EIO', `ethtool of ${name}`);
}

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}
