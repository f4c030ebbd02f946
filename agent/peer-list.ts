/** @module The peers as an operator writes them: `ADDR[=NAME]`, checked and put together. Pure. */
import { isIP, SocketAddress } from 'node:net';
import type { Family } from '../checks/family.ts';

/** A node to test the way to. It may have one address of each family. */
export interface Peer {
  readonly name: string;
  readonly addresses: { readonly ipv4?: string; readonly ipv6?: string };
  /** What it is there for besides pods (`etcd`, `control-plane`, `typha`); absent where nobody said. */
  readonly roles?: readonly string[];
}

/** One peer as written, and where it was written. */
export interface PeerEntry {
  readonly text: string;
  readonly roles?: readonly string[];
  readonly place: string;
}

/** Peers, what was left out of them, and what is wrong with the list. */
export interface PeerList {
  readonly peers: readonly Peer[];
  readonly notes: readonly string[];
  readonly problems: readonly PeerProblem[];
}

export interface PeerProblem {
  readonly place: string;
  readonly message: string;
}

/** Puts the entries together: one peer a name, each address once. */
export function readPeers(entries: readonly PeerEntry[]): PeerList {
  const notes: string[] = [];
  const problems: PeerProblem[] = [];
  const byAddress = new Map<string, Written>();
  for (const { text, roles = [], place } of entries) {
    const parsed = parsePeer(text);
    if (typeof parsed === 'string') {
      problems.push({ place, message: parsed });
      continue;
    }
    const known = byAddress.get(parsed.address);
    if (known === undefined) {
      byAddress.set(parsed.address, { ...parsed, roles, place });
      continue;
    }
    if (known.name !== undefined && parsed.name !== undefined && known.name !== parsed.name) {
      const message = `${parsed.address} is named "${parsed.name}" here and "${known.name}" in ${known.place}: give it one name`;
      problems.push({ place, message });
      continue;
    }
    notes.push(`peer ${parsed.address} is listed more than once and counts once`);
    byAddress.set(parsed.address, {
      ...known,
      name: known.name ?? parsed.name,
      roles: [...known.roles, ...roles],
    });
  }

  const byName = new Map<string, Partial<Record<Family, Written>>>();
  for (const written of byAddress.values()) {
    const name = written.name ?? written.address;
    const same = byName.get(name) ?? {};
    const other = same[written.family];
    if (other !== undefined) {
      const message = `two peers are named "${name}": ${other.address} (${other.place}) and ${written.address}; give each its own name`;
      problems.push({ place: written.place, message });
      continue;
    }
    byName.set(name, { ...same, [written.family]: written });
  }
  const peers = [...byName].map(([name, { ipv4, ipv6 }]) => ({
    name,
    addresses: {
      ...(ipv4 === undefined ? {} : { ipv4: ipv4.address }),
      ...(ipv6 === undefined ? {} : { ipv6: ipv6.address }),
    },
    ...rolesOf([...(ipv4?.roles ?? []), ...(ipv6?.roles ?? [])]),
  }));
  return { peers, notes: [...new Set(notes)], problems };
}

/** Leaves the own node out, so that one list of nodes serves all nodes. */
export function withoutOwn(
  peers: readonly Peer[],
  ownAddresses: readonly string[],
): { readonly peers: readonly Peer[]; readonly notes: readonly string[] } {
  const own = new Set(ownAddresses.map((address) => canonicalAddress(address) ?? address));
  const notes: string[] = [];
  const others = peers.filter(({ name, addresses }) => {
    const found = [addresses.ipv4, addresses.ipv6].find(
      (address) => address !== undefined && own.has(address),
    );
    if (found === undefined) return true;
    const called = name === found ? '' : ` (${name})`;
    notes.push(`peer ${found}${called} is this node and is left out`);
    return false;
  });
  return { peers: others, notes };
}

/** Reads a file of peers: one `ADDR [NAME]` or `ADDR=NAME` a line, `#` starts a comment. */
export function readPeerLines(text: string, file: string): PeerEntry[] {
  const entries: PeerEntry[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    // `- ADDR` is a YAML list's line: a file of either form holds the same entries.
    const content = line
      .replace(/(^|\s)#.*$/, '')
      .replace(/^\s*-\s+/, '')
      .trim();
    if (content === '' || content === '---') continue;
    const unquoted = content.replace(/^(["'])(.*)\1$/, '$2');
    const text = unquoted.replace(/^(\S+)\s+(\S.*)$/, '$1=$2');
    entries.push({ text, place: `${file}:${index + 1}` });
  }
  return entries;
}

/** Answers an address in its one written form (IPv6 compressed, IPv4-mapped as IPv4), or undefined. */
export function canonicalAddress(text: string): string | undefined {
  const family = isIP(text);
  if (family === 0 || text.includes('%')) return undefined;
  if (family === 4) return text;
  const { address } = new SocketAddress({ address: text, family: 'ipv6' });
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address)?.[1];
  return mapped ?? address;
}

interface ParsedPeer {
  readonly address: string;
  readonly family: Family;
  readonly name: string | undefined;
}

interface Written extends ParsedPeer {
  readonly roles: readonly string[];
  readonly place: string;
}

function rolesOf(roles: readonly string[]): Pick<Peer, 'roles'> {
  return roles.length === 0 ? {} : { roles: [...new Set(roles)] };
}

/** A peer's name is a metric label and a log field: no blanks, nothing that needs escaping. */
const namePattern = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/;

/** Parses `ADDR[=NAME]`; a string is the sentence that says what is wrong with it. */
function parsePeer(text: string): ParsedPeer | string {
  const separator = text.indexOf('=');
  const host = (separator === -1 ? text : text.slice(0, separator)).trim();
  const name = separator === -1 ? undefined : text.slice(separator + 1).trim();
  const bare = /^\[(.*)\]$/.exec(host)?.[1] ?? host;
  const address = canonicalAddress(bare);
  if (address === undefined) return notAnAddress({ text, host, bare, name });
  const special = specialAddress(address);
  if (special !== undefined) return `"${host}" is ${special}, not the address of a node`;
  if (name !== undefined && !namePattern.test(name)) {
    return name === ''
      ? `"${text}" has an empty name: write ${host} or ${host}=NAME`
      : `"${name}" is not a name for a peer: letters, digits, dots, dashes and underscores only`;
  }
  return { address, family: isIP(address) === 4 ? 'ipv4' : 'ipv6', name };
}

function notAnAddress(written: {
  readonly text: string;
  readonly host: string;
  readonly bare: string;
  readonly name: string | undefined;
}): string {
  const { text, host, bare, name } = written;
  if (text.trim() === '') return 'a peer is empty: write ADDR or ADDR=NAME';
  if (name !== undefined && canonicalAddress(name.replace(/^\[(.*)\]$/, '$1')) !== undefined) {
    return `"${text}" is the wrong way round: write ${name}=${host}`;
  }
  const [, beforePort = '', port = ''] = /^(\[.*\]|[\d.]+):(\d+)$/.exec(host) ?? [];
  if (canonicalAddress(beforePort.replace(/^\[(.*)\]$/, '$1')) !== undefined) {
    const range = Number(port) > 65_535 ? `port ${port} is out of range, and ` : '';
    return `"${host}": ${range}a peer has no port of its own: write ${beforePort}`;
  }
  if (bare.includes('%')) {
    return `"${host}" has a zone, which means something on one node only: write a global or unique local address`;
  }
  if (/^[\d.]+(\/\d+)?$/.test(bare) || /^[0-9a-f:]*:[0-9a-f:]*(\/\d+)?$/i.test(bare)) {
    return `"${host}" is not a whole IPv4 or IPv6 address`;
  }
  return `"${host}" is not an address: write ADDR=${host}, or use --discover dns`;
}

/** Addresses that no single node answers on. */
function specialAddress(address: string): string | undefined {
  if (address === '0.0.0.0' || address === '::') return 'the unspecified address';
  if (address === '255.255.255.255') return 'the broadcast address';
  if (isIP(address) === 6) return address.startsWith('ff') ? 'a multicast address' : undefined;
  const first = Number(address.split('.')[0]);
  if (first >= 224 && first <= 239) return 'a multicast address';
  return undefined;
}
