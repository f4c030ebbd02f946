/** @module The peers of a configuration: listed, out of a file, without the own node. */
import { resolve } from 'node:path';
import { shapeProblems } from '../rules/shape.ts';
import { fits } from '../rules/validate.ts';
import { readText } from './config-file.ts';
import type { Layer, Origin } from './config-layers.ts';
import { readYaml } from './config-yaml.ts';
import type { ConfigurationProblem } from './configuration-error.ts';
import { type Peer, type PeerEntry, readPeerLines, readPeers, withoutOwn } from './peer-list.ts';
import { type ConfigurationFile, PeersFileSchema } from './settings.ts';

export interface SettledPeers {
  readonly peers: readonly Peer[];
  readonly notes: readonly string[];
  readonly file: string | undefined;
}

/**
 * `peers` and `peersFile` are one setting as far as precedence goes: `--peer` asks for that peer alone,
 * not for that peer and all of the file's. Given in the same place, both count.
 */
export function settlePeers(from: {
  readonly layers: readonly Layer[];
  readonly ownAddresses: readonly string[];
  readonly origins: Record<string, Origin>;
  readonly problems: ConfigurationProblem[];
}): SettledPeers {
  const { layers, ownAddresses, origins, problems } = from;
  const layer = layers.find(
    ({ given }) => given.peers !== undefined || given.peersFile !== undefined,
  );
  origins['peers'] = layer?.origin ?? 'default';
  origins['peersFile'] = layer?.given.peersFile === undefined ? 'default' : layer.origin;
  if (layer === undefined) return { peers: [], notes: [], file: undefined };

  const entries: PeerEntry[] = (layer.given.peers ?? []).map((peer, index) => ({
    ...entryOf(peer),
    place: placeText(layer.place(layer.origin === 'file' ? ['peers', index] : ['peers'])),
  }));
  const { peersFile } = layer.given;
  const file = peersFile === undefined ? undefined : resolve(layer.directory, peersFile);
  if (file !== undefined) {
    entries.push(...readPeersFile(file, layer.place(['peersFile']), problems));
  }
  const read = readPeers(entries);
  for (const { place, message } of read.problems) problems.push({ path: place, message });
  const others = withoutOwn(read.peers, ownAddresses);
  return { peers: others.peers, notes: [...read.notes, ...others.notes], file };
}

function readPeersFile(
  file: string,
  namedBy: Omit<ConfigurationProblem, 'message'>,
  problems: ConfigurationProblem[],
): PeerEntry[] {
  if (!/\.(ya?ml|json)$/.test(file)) {
    const text = readText(file);
    if (typeof text === 'string') return readPeerLines(text, file);
    problems.push({ ...namedBy, message: `${file} cannot be read (${text.reason})` });
    return [];
  }
  const read = readYaml(file, placeText(namedBy), problems);
  if (read === undefined) return [];
  const wrong = shapeProblems(PeersFileSchema, read.value);
  for (const { path, message } of wrong) {
    const line = read.lineOf(path);
    problems.push({ file, ...(line === undefined ? {} : { line }), path: path.join('.'), message });
  }
  if (wrong.length > 0 || !fits(PeersFileSchema, read.value)) return [];
  return read.value.map((peer, index) => ({
    ...entryOf(peer),
    place: `${file}:${read.lineOf([index]) ?? 1}`,
  }));
}

function entryOf(
  peer: NonNullable<ConfigurationFile['peers']>[number],
): Pick<PeerEntry, 'text' | 'roles'> {
  if (typeof peer === 'string') return { text: peer };
  const { address, name, roles } = peer;
  const text = name === undefined ? address : `${address}=${name}`;
  return roles === undefined ? { text } : { text, roles };
}

function placeText({ file, line, path }: Omit<ConfigurationProblem, 'message'>): string {
  return file === undefined ? path : line === undefined ? file : `${file}:${line}`;
}
