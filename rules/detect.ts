/** @module Which providers a node already runs, told from its files and links. Pure. */
import type { Catalogue, Detection, OptionValue, Provider } from './schema.ts';

/** A network link as far as detection needs it; what could not be read is left out. */
export interface LinkFact {
  readonly name: string;
  readonly kind?: string;
  readonly port?: number;
  readonly vni?: number;
  readonly mtu?: number;
  readonly external?: boolean;
}

/** What was seen of a node: those of `filesToLookFor` that exist, and its links. */
export interface NodeFacts {
  readonly files: ReadonlySet<string>;
  readonly links: readonly LinkFact[];
}

/** A provider that the node runs, or has left traces of. */
export interface DetectedProvider {
  readonly provider: string;
  /** Options that the node's devices tell. */
  readonly options: Readonly<Record<string, OptionValue>>;
  /** Which device told each option (`device flannel.1`). */
  readonly origins: Readonly<Record<string, string>>;
  /** What betrayed it, e.g. `file /etc/cni/net.d/10-canal.conflist`. */
  readonly evidence: readonly string[];
}

type LinkRule = Detection['links'][number];

/** Lists the providers that a node's files and links betray, best proven first. */
export function detectProviders(catalogue: Catalogue, facts: NodeFacts): DetectedProvider[] {
  return [...catalogue.providers.values()]
    .flatMap((provider) => detectProvider(provider, facts) ?? [])
    .sort(
      (left, right) =>
        strength(right) - strength(left) || left.provider.localeCompare(right.provider),
    );
}

/** Lists every path whose existence `detectProviders` wants to know, sorted. */
export function filesToLookFor(catalogue: Catalogue): string[] {
  const paths = [...catalogue.providers.values()].flatMap(({ detect }) => detect.files);
  return [...new Set(paths)].sort();
}

/** Tells whether a name fits a pattern, whose `*` at the end matches any ending. */
export function matchesName(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
}

function detectProvider(provider: Provider, facts: NodeFacts): DetectedProvider | undefined {
  const { detect } = provider;
  const present = (pattern: string): boolean =>
    facts.links.some((link) => matchesName(pattern, link.name));
  const files = detect.files.filter((path) => facts.files.has(path));
  const matches = detect.links
    .filter((rule) => (rule.with ?? []).every(present))
    .flatMap((rule) =>
      facts.links.filter((link) => linkFits(rule, link)).map((link) => ({ rule, link })),
    );
  const betrayers = matches.filter(({ rule }) => rule.betrays !== false);
  const linksSuffice =
    betrayers.length > 0 &&
    (detect.together ?? []).every(present) &&
    !(detect.without ?? []).some(present);
  if (files.length === 0 && !linksSuffice) return undefined;

  const options: Record<string, OptionValue> = {};
  const origins: Record<string, string> = {};
  for (const { rule, link } of matches) {
    for (const [name, value] of Object.entries(told(rule, link))) {
      if (Object.hasOwn(options, name)) continue;
      options[name] = value;
      origins[name] = `device ${link.name}`;
    }
  }
  const devices = new Set(betrayers.map(({ link }) => `device ${link.name}`));
  return {
    provider: provider.provider,
    options,
    origins,
    evidence: [...files.map((path) => `file ${path}`), ...devices],
  };
}

/** A kind that could not be read does not rule a link out. */
function linkFits(rule: LinkRule, link: LinkFact): boolean {
  if (!matchesName(rule.name, link.name)) return false;
  return rule.kind === undefined || link.kind === undefined || rule.kind === link.kind;
}

function told(rule: LinkRule, link: LinkFact): Record<string, OptionValue> {
  const values: Record<string, OptionValue> = { ...rule.set };
  for (const attribute of ['port', 'vni', 'mtu'] as const) {
    const option = rule.read?.[attribute];
    const value = link[attribute];
    if (option !== undefined && value !== undefined) values[option] = value;
  }
  return values;
}

/** A file and a device together prove more than either: the file may be left over, the device another's. */
function strength({ evidence }: DetectedProvider): number {
  const file = evidence.some((line) => line.startsWith('file '));
  const device = evidence.some((line) => line.startsWith('device '));
  return (file ? 2 : 0) + (device ? 1 : 0);
}
