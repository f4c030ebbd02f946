/** @module A ruleset as text, in pieces that can be taken out one by one, and how it comes into the kernel. */
import type { Arena } from './arena.ts';
import { scaffold } from './scaffold.ts';

export interface ChainText {
  readonly name: string;
  /** `type filter hook …` of a base chain, else empty. */
  readonly header: string;
  readonly rules: string[];
}

export interface TableText {
  readonly family: 'inet' | 'ip' | 'ip6' | 'netdev';
  readonly name: string;
  readonly sets: string[];
  readonly chains: ChainText[];
  readonly isDormant: boolean;
}

/** What `iptables-restore` reads: lines, of which those that begin with `-A` are rules. */
export interface RestoreText {
  readonly command: string;
  readonly lines: string[];
}

export interface Script {
  readonly tables: TableText[];
  readonly restores: RestoreText[];
}

export function nftText({ tables }: Script): string {
  return tables
    .map((table) => {
      const chains = table.chains.map(
        ({ name, header, rules }) =>
          `  chain ${name} {\n${header}${rules.map((rule) => `    ${rule}\n`).join('')}  }\n`,
      );
      const flags = table.isDormant ? '  flags dormant\n' : '';
      return `table ${table.family} ${table.name} {\n${flags}${table.sets.join('')}${chains.join('')}}\n`;
    })
    .join('');
}

/** All of it, for a person. */
export function scriptText(script: Script): string {
  const restores = script.restores.map(
    ({ command, lines }) => `# ${command}\n${lines.map((line) => `${line}\n`).join('')}`,
  );
  return nftText(script) + restores.join('');
}

/** Legacy tables stay once they are made: they are emptied, and let everything through. */
const builtIn = {
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
  mangle: ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'],
  raw: ['PREROUTING', 'OUTPUT'],
  nat: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
} as const;
const emptied = Object.entries(builtIn)
  .map(
    ([table, chains]) => `*${table}\n${chains.map((one) => `:${one} ACCEPT\n`).join('')}COMMIT\n`,
  )
  .join('');
const legacyCommands = ['iptables-legacy-restore', 'ip6tables-legacy-restore'];

export interface Loader {
  readonly load: (script: Script) => void;
}

export function createLoader(arena: Arena): Loader {
  const holdsLegacy = new Set<string>();
  return {
    load: (script) => {
      arena.run('nft', ['-f', '-'], `flush ruleset\n${scaffold()}${nftText(script)}`);
      for (const command of legacyCommands) {
        if (!holdsLegacy.delete(command)) continue;
        if (!script.restores.some((one) => one.command === command))
          arena.run(command, [], emptied);
      }
      for (const { command, lines } of script.restores) {
        if (legacyCommands.includes(command)) holdsLegacy.add(command);
        arena.run(command, [], lines.map((line) => `${line}\n`).join(''));
      }
    },
  };
}
