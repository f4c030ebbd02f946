/** @module Every setting there is, once: its flag, its twin in the environment, its place in the file, its default. */
import type { Static, TSchema } from 'typebox';
import { Type } from '../rules/type.ts';

export const commandNames = ['check', 'agent', 'config', 'providers', 'explain'] as const;
export type CommandName = (typeof commandNames)[number];

/** One peer in the YAML file: `ADDR[=NAME]`, or its parts. */
const PeerSchema = Type.Union([
  Type.String(),
  Type.Object(
    {
      address: Type.String(),
      name: Type.Optional(Type.String()),
      roles: Type.Optional(Type.Array(Type.String({ minLength: 1 }))),
    },
    { additionalProperties: false },
  ),
]);
/** A file of peers in YAML. */
export const PeersFileSchema = Type.Array(PeerSchema);

const Words = Type.Array(Type.String({ minLength: 1 }));

/** What the YAML file may hold. Flags and environment end up in the same shape. */
export const ConfigurationFile = Type.Object(
  {
    provider: Type.Optional(Type.String({ minLength: 1 })),
    set: Type.Optional(
      Type.Union([
        Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()])),
        Type.Array(Type.String({ pattern: '^[^=]+=' })),
      ]),
    ),
    peers: Type.Optional(Type.Array(PeerSchema)),
    peersFile: Type.Optional(Type.String({ minLength: 1 })),
    distribution: Type.Optional(Type.String({ minLength: 1 })),
    only: Type.Optional(Words),
    ignore: Type.Optional(Words),
    timeout: Type.Optional(Type.Number({ minimum: 0.01, maximum: 60 })),
    wait: Type.Optional(Type.Number({ minimum: 0, maximum: 86_400 })),
    strict: Type.Optional(Type.Boolean()),
    tryModules: Type.Optional(Type.Boolean()),
    format: Type.Optional(
      Type.Union([
        Type.Literal('text'),
        Type.Literal('json'),
        Type.Literal('yaml'),
        Type.Literal('junit'),
      ]),
    ),
    rules: Type.Optional(Type.String({ minLength: 1 })),
    noColor: Type.Optional(Type.Boolean()),
    listen: Type.Optional(Words),
    interval: Type.Optional(Type.Number({ minimum: 1, maximum: 86_400 })),
    keyFile: Type.Optional(Type.String({ minLength: 1 })),
    discover: Type.Optional(
      Type.Union([Type.Literal('static'), Type.Literal('dns'), Type.Literal('kubernetes')]),
    ),
    discoverName: Type.Optional(Words),
    nodeName: Type.Optional(Type.String({ minLength: 1, maxLength: 253 })),
    logLevel: Type.Optional(
      Type.Union([
        Type.Literal('trace'),
        Type.Literal('debug'),
        Type.Literal('info'),
        Type.Literal('warn'),
        Type.Literal('error'),
        Type.Literal('silent'),
      ]),
    ),
  },
  { additionalProperties: false },
);
export type ConfigurationFile = Static<typeof ConfigurationFile>;
export type SettingName = keyof ConfigurationFile;

/** How a setting is written on the command line and in the environment. */
type Form = 'text' | 'number' | 'switch' | 'list';

export interface Setting {
  readonly name: SettingName;
  /** Without the dashes; the environment twin is made of it. */
  readonly flag: string;
  /** What stands behind the flag in the help; absent for a switch. */
  readonly argument?: string;
  readonly form: Form;
  readonly commands: readonly CommandName[];
  readonly help: string;
  /** The default, for the help. */
  readonly usual?: string;
  /** Completes the sentence `X is not …`. */
  readonly expected: string;
}

const everywhere = ['check', 'agent', 'config'] as const;
const once = ['check', 'config'] as const;
const lasting = ['agent', 'config'] as const;

/** Every setting, in the order of the help. */
export const settings: readonly Setting[] = [
  {
    name: 'provider',
    flag: 'provider',
    argument: 'NAME',
    form: 'text',
    commands: everywhere,
    help: 'the CNI to check for, or "auto": the one that runs here; check also takes "all"',
    usual: 'auto',
    expected: 'the name of a provider',
  },
  {
    name: 'set',
    flag: 'set',
    argument: 'K=V',
    form: 'list',
    commands: everywhere,
    help: 'an option of the provider, e.g. encapsulation=ipip (repeatable; `providers NAME` lists them)',
    expected: 'an option and its value: write K=V',
  },
  {
    name: 'peers',
    flag: 'peer',
    argument: 'ADDR[=NAME]',
    form: 'list',
    commands: everywhere,
    help: 'another node to test the way to; IPv4 or IPv6 (repeatable)',
    expected: 'a list of ADDR[=NAME]',
  },
  {
    name: 'peersFile',
    flag: 'peers-file',
    argument: 'FILE',
    form: 'text',
    commands: everywhere,
    help: 'a file of peers, one ADDR [NAME] a line; the own node may be among them',
    expected: 'the path of a file',
  },
  {
    name: 'distribution',
    flag: 'distribution',
    argument: 'NAME',
    form: 'text',
    commands: everywhere,
    help: 'whose defaults to take: upstream, rke, rke2, k3s',
    expected: 'the name of a distribution',
  },
  {
    name: 'only',
    flag: 'only',
    argument: 'ID|KIND',
    form: 'list',
    commands: everywhere,
    help: 'check this requirement, or this kind of requirement, and no other (repeatable)',
    expected: 'a list of requirement ids or kinds',
  },
  {
    name: 'ignore',
    flag: 'ignore',
    argument: 'ID|KIND',
    form: 'list',
    commands: everywhere,
    help: 'leave this requirement, or this kind, out (repeatable)',
    expected: 'a list of requirement ids or kinds',
  },
  {
    name: 'timeout',
    flag: 'timeout',
    argument: 'S',
    form: 'number',
    commands: everywhere,
    help: 'seconds that one probe may take',
    usual: '1',
    expected: 'a number of seconds from 0.01 to 60',
  },
  {
    name: 'wait',
    flag: 'wait',
    argument: 'S',
    form: 'number',
    commands: once,
    help: 'seconds that the peers are given to appear: run it on all new nodes at once',
    usual: '0',
    expected: 'a number of seconds from 0 to 86400',
  },
  {
    name: 'strict',
    flag: 'strict',
    form: 'switch',
    commands: once,
    help: 'a warning makes the exit code 3, too',
    expected: 'true or false',
  },
  {
    name: 'tryModules',
    flag: 'try-modules',
    form: 'switch',
    commands: once,
    help: 'prove kernel features by trying them in a throw-away namespace; this may load modules',
    expected: 'true or false',
  },
  {
    name: 'format',
    flag: 'format',
    argument: 'FORMAT',
    form: 'text',
    commands: ['check', 'config', 'providers'],
    help: 'text, json, yaml or junit (providers: text or json)',
    usual: 'text',
    expected: 'a format: text, json, yaml or junit',
  },
  {
    name: 'rules',
    flag: 'rules',
    argument: 'DIR',
    form: 'text',
    commands: ['check', 'agent', 'config', 'providers'],
    help: 'a directory of provider files that add to the built-in ones, or override them',
    expected: 'the path of a directory',
  },
  {
    name: 'noColor',
    flag: 'no-color',
    form: 'switch',
    commands: ['check', 'config', 'explain'],
    help: 'plain text on a terminal, too (NO_COLOR does the same)',
    expected: 'true or false',
  },
  {
    name: 'listen',
    flag: 'listen',
    argument: 'ADDR:PORT',
    form: 'list',
    commands: everywhere,
    help: 'where this node answers; IPv6 in brackets (repeatable)',
    usual: 'port 10472 of the underlay addresses',
    expected: 'a list of ADDR:PORT',
  },
  {
    name: 'interval',
    flag: 'interval',
    argument: 'S',
    form: 'number',
    commands: lasting,
    help: 'seconds from one round to the next',
    usual: '30',
    expected: 'a number of seconds from 1 to 86400',
  },
  {
    name: 'keyFile',
    flag: 'key-file',
    argument: 'FILE',
    form: 'text',
    commands: everywhere,
    help: 'the key that all agents share (16 to 4096 bytes); nothing unsigned is then answered',
    expected: 'the path of a file',
  },
  {
    name: 'discover',
    flag: 'discover',
    argument: 'HOW',
    form: 'text',
    commands: everywhere,
    help: 'how peers are found: static (those that are listed) or dns',
    usual: 'static',
    expected: 'a way to find peers: static or dns',
  },
  {
    name: 'discoverName',
    flag: 'discover-name',
    argument: 'NAME',
    form: 'list',
    commands: everywhere,
    help: 'with --discover dns: a name whose addresses are the peers (repeatable)',
    expected: 'a list of DNS names',
  },
  {
    name: 'nodeName',
    flag: 'node-name',
    argument: 'NAME',
    form: 'text',
    commands: everywhere,
    help: 'what this node is called',
    usual: 'the host name',
    expected: 'a name of at most 253 characters',
  },
  {
    name: 'logLevel',
    flag: 'log-level',
    argument: 'LEVEL',
    form: 'text',
    commands: lasting,
    help: 'trace, debug, info, warn, error or silent',
    usual: 'info',
    expected: 'a log level: trace, debug, info, warn, error or silent',
  },
];

/** The prefix of every environment variable that is read. */
export const environmentPrefix = 'CNI_PREFLIGHT_';

/** The environment twin of a flag: `--peers-file` is `CNI_PREFLIGHT_PEERS_FILE`. */
export function twinOf(flag: string): string {
  return environmentPrefix + flag.replaceAll('-', '_').toUpperCase();
}

/** The schema of one setting's value. */
export function schemaOf(name: SettingName): TSchema {
  return ConfigurationFile.properties[name];
}
