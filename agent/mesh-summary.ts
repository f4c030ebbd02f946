/** @module What fails between many nodes in few sentences: "worker-2 refuses udp/8472 from all 7 peers" is one, not seven. Pure. */

/** One pair of nodes between which a requirement fails. */
export interface FailedPath {
  readonly sender: string;
  readonly receiver: string;
  readonly requirement: string;
  readonly reason: string;
  /** `udp/8472`; the requirement where the packets have no such name. */
  readonly what: string;
}

const mostSentences = 50;
const namesShown = 4;

type End = 'sender' | 'receiver';

/** Says what fails, the widest failure first. */
export function summariseMesh(paths: readonly FailedPath[], nodeCount: number): string[] {
  const alike = new Map<string, FailedPath[]>();
  for (const path of paths) {
    const key = JSON.stringify([path.what, path.reason]);
    alike.set(key, [...(alike.get(key) ?? []), path]);
  }
  const groups = [...alike.values()].flatMap(groupsOf);
  groups.sort((one, other) => other.paths.length - one.paths.length);
  return groups.slice(0, mostSentences).map((group) => sentenceOf(group, nodeCount - 1));
}

/** Paths that one node has in common; one alone has itself. */
interface Group {
  readonly end: End;
  readonly paths: readonly FailedPath[];
}

/** Takes the node with the most failing paths, then the one with the most of those that are left. */
function groupsOf(paths: readonly FailedPath[]): Group[] {
  const groups: Group[] = [];
  let left = paths;
  while (left.length > 0) {
    const best = largest(left);
    groups.push(best);
    left = left.filter((path) => !best.paths.includes(path));
  }
  return groups;
}

function largest(paths: readonly FailedPath[]): Group {
  const byNode = new Map<string, Group>();
  // Of two alike the receiver comes first: most of what fails, fails there.
  for (const end of ['receiver', 'sender'] as const) {
    for (const path of paths) {
      const key = `${end} ${path[end]}`;
      byNode.set(key, { end, paths: [...(byNode.get(key)?.paths ?? []), path] });
    }
  }
  let best: Group | undefined;
  for (const group of byNode.values())
    if (best === undefined || group.paths.length > best.paths.length) best = group;
  return best ?? { end: 'receiver', paths };
}

function sentenceOf({ end, paths }: Group, peerCount: number): string {
  const [first] = paths;
  if (first === undefined) return '';
  const { what, reason } = first;
  const others = [
    ...new Set(paths.map((path) => path[end === 'receiver' ? 'sender' : 'receiver'])),
  ];
  const them = peersText(others, peerCount);
  if (end === 'sender')
    return others.length === 1
      ? `${what} from ${first.sender} to ${them} fails (${reason})`
      : `${first.sender} reaches ${others.length === peerCount ? `none of its ${peerCount} peers` : `not ${them}`} by ${what} (${reason})`;
  return isRefusal(reason)
    ? `${first.receiver} refuses ${what} from ${them} (${reason})`
    : `${what} to ${first.receiver} fails from ${them} (${reason})`;
}

function isRefusal(reason: string): boolean {
  return /^(?:dropped|rejected)-by-receiver-/.test(reason);
}

function peersText(names: readonly string[], peerCount: number): string {
  if (peerCount > 1 && names.length === peerCount) return `all ${peerCount} peers`;
  if (names.length <= namesShown) return names.join(', ');
  return `${names.length} of ${peerCount} peers`;
}
