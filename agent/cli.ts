/** @module The command line: words in, exit code out. */
import { Command, CommanderError, Option } from 'commander';
import { openCatalogue } from '../rules/catalogue.ts';
import { startProgress } from './check-progress.ts';
import type { Commands } from './commands.ts';
import { type LoadedConfiguration, loadConfiguration } from './config.ts';
import { configText } from './config-command.ts';
import type { Environment, Flags } from './config-layers.ts';
import { ConfigurationError } from './configuration-error.ts';
import { exitCodeOf, exitCodes } from './exit-code.ts';
import { describeProvider, describeProviders } from './providers-command.ts';
import { renderReport } from './report.ts';
import { type CommandName, environmentPrefix, type Setting, settings } from './settings.ts';

/** A stream as far as the command line needs it. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** All that the command line touches. */
export interface CliContext {
  readonly stdout: Output;
  readonly stderr: Output;
  /** Read only by `explain --packets -`. */
  readonly stdin?: AsyncIterable<Uint8Array | string>;
  /** The process's own when absent. */
  readonly env?: Environment;
  readonly cwd: string;
  readonly version: string;
  /** Aborts at SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  /** Loaded only when one is run: help must be fast. */
  readonly commands: () => Promise<Commands>;
  /** Addresses of this node; looked up when absent. */
  readonly ownAddresses?: readonly string[];
}

/** Runs one command line (without the node and script arguments) and resolves to the exit code. */
export async function runCli(argv: readonly string[], context: CliContext): Promise<number> {
  const state: State = { exitCode: exitCodes.fit };
  const program = buildProgram(context, state);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return state.exitCode;
  } catch (error) {
    // Commander has said what it had to say.
    if (error instanceof CommanderError) {
      return error.exitCode === 0 ? exitCodes.fit : exitCodes.usage;
    }
    const message = error instanceof Error ? error.message : String(error);
    if (isUsageError(error)) {
      context.stderr.write(`cni-preflight: ${message}\n`);
      return exitCodes.usage;
    }
    if (context.signal.aborted) {
      context.stderr.write('cni-preflight: interrupted\n');
      return exitCodes.internalError;
    }
    const stack = error instanceof Error ? (error.stack ?? message) : message;
    context.stderr.write(`cni-preflight: internal error: ${stack}\n`);
    return exitCodes.internalError;
  }
}

/** Errors that the operator can cure: each explains itself and asks for no stack. */
const usageErrors: ReadonlySet<unknown> = new Set([
  'CONFIG_INVALID',
  'CATALOGUE_INVALID',
  'SELECTION_INVALID',
]);

function isUsageError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && usageErrors.has(error.code);
}

interface State {
  exitCode: number;
}

function buildProgram(context: CliContext, state: State): Command {
  const program = new Command('cni-preflight')
    .description(
      'Is this node, and its way to its peers, fit for Canal, Flannel, Calico, Weave or Cilium?\nIt never changes the host.',
    )
    .version(context.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
      getOutHelpWidth: () => (hasColumns(context.stdout) ? context.stdout.columns : 100),
      getErrHelpWidth: () => (hasColumns(context.stderr) ? context.stderr.columns : 100),
      outputError: (text, write) => {
        write(oneSentence(text, program));
      },
    })
    .addHelpText(
      'after',
      `
Examples:
  cni-preflight check --provider all                    which providers could this node run?
  cni-preflight check --provider canal --peer 10.0.0.12=worker-2 --peer 10.0.0.13=worker-3
  cni-preflight agent --provider canal --peers-file /etc/cni-preflight/nodes
  cni-preflight explain udp/8472 --from 10.0.0.12       what would the firewall here do with it?
  cni-preflight providers cilium                        what Cilium needs, and who says so

${exitCodeHelp}`,
    );

  const settle = (command: CommandName, flags: Flags): LoadedConfiguration =>
    loadConfiguration({
      command,
      flags,
      ...(context.env === undefined ? {} : { env: context.env }),
      cwd: context.cwd,
      ...(context.ownAddresses === undefined ? {} : { ownAddresses: context.ownAddresses }),
    });

  addSettings(
    program.command('check').description('Check this node and its way to its peers, once.'),
    'check',
  )
    .addHelpText('after', checkHelp)
    .action(async (options: Options) => {
      state.exitCode = await runCheckCommand(settle('check', flagsOf(options)), context);
    });

  addSettings(
    program
      .command('agent')
      .description('Check for ever, answer the other agents, and serve /status and /metrics.'),
    'agent',
  )
    .addHelpText('after', agentHelp)
    .action(async (options: Options) => {
      const reload = (): LoadedConfiguration => settle('agent', flagsOf(options));
      const loaded = reload();
      const commands = await context.commands();
      state.exitCode = await commands.agent(loaded, { signal: context.signal, reload });
    });

  addExplain(program, { context, state, settle });

  addSettings(
    program
      .command('providers')
      .argument('[NAME]', 'one provider: its options, requirements and sources')
      .description('Show the catalogue: the comparison table, or all about one provider.'),
    'providers',
  )
    .addHelpText('after', providersHelp)
    .action(async (name: string | undefined, options: Options) => {
      const { values, origins } = settle('providers', flagsOf(options));
      const catalogue = await openCatalogue({
        directories: values.rules === undefined ? [] : [values.rules],
      });
      if (origins['format'] === 'flag' && !['text', 'json'].includes(values.format)) {
        const message = `${JSON.stringify(values.format)} is not a format of this command: text or json`;
        throw new ConfigurationError([{ path: '--format', message }]);
      }
      const format = values.format === 'json' ? 'json' : 'text';
      const width = hasColumns(context.stdout) ? context.stdout.columns : 100;
      context.stdout.write(
        name === undefined
          ? describeProviders(catalogue, format)
          : describeProvider(catalogue, name, { format, width }),
      );
    });

  addSettings(
    program
      .command('config')
      .description('Show the effective configuration and where each value came from.'),
    'config',
  )
    .addHelpText('after', configHelp)
    .action(async (options: Options) => {
      const loaded = settle('config', flagsOf(options));
      context.stdout.write(await configText(loaded));
      writeNotes(loaded.notes, context);
    });
  return program;
}

/** Its flags are a question and no settings: they have no twins in the environment. */
function addExplain(
  program: Command,
  {
    context,
    state,
    settle,
  }: {
    readonly context: CliContext;
    readonly state: State;
    readonly settle: (command: CommandName, flags: Flags) => LoadedConfiguration;
  },
): void {
  const command = program
    .command('explain')
    .argument('[PROTO[/PORT]]', 'udp/8472, tcp/6443, icmp, esp, or the number of a protocol')
    .description('Say what the firewall of this host does with a packet, and which rule decides.')
    .option('--from <ADDR>', 'the packet comes from this address, or prefix, to this host')
    .option('--to <ADDR>', 'this host sends it to this address; with --from: it is forwarded')
    .option('--in-interface <IF>', 'where it comes in (default: as the routes say)')
    .option('--out-interface <IF>', 'where it goes out (default: as the routes say)')
    .option('--packets <FILE>', 'packets, one JSON object a line, instead of one; - is stdin')
    .addOption(
      new Option('--format <FORMAT>', 'text, json or jsonl (default: text)').choices([
        'text',
        'json',
        'jsonl',
      ]),
    );
  addSettings(command, 'explain')
    .addHelpText('after', explainHelp)
    .action(async (what: string | undefined, options: Options) => {
      const { stdout, stderr } = context;
      const { noColor } = settle('explain', flagsOf(options)).values;
      const text = (name: string): string | undefined => {
        const value = options[name];
        return typeof value === 'string' ? value : undefined;
      };
      const packetsFile = text('packets');
      if (what === undefined && packetsFile === undefined) {
        const message = 'say which packet: explain PROTO[/PORT] --from ADDR, or --packets FILE';
        throw new ConfigurationError([{ path: 'explain', message }]);
      }
      const format = text('format');
      const commands = await context.commands();
      state.exitCode = await commands.explain({
        asked: defined({
          what,
          from: text('from'),
          to: text('to'),
          inInterface: text('inInterface'),
          outInterface: text('outInterface'),
        }),
        ...(packetsFile === undefined ? {} : { packetsFile }),
        format: format === 'json' || format === 'jsonl' ? format : 'text',
        color: stdout.isTTY === true && !noColor,
        input: context.stdin ?? nothing(),
        write: (line) => stdout.write(line),
        complain: (line) => stderr.write(`cni-preflight: ${line}\n`),
        signal: context.signal,
      });
    });
}

function defined<T extends Readonly<Record<string, string | undefined>>>(
  given: T,
): { readonly [K in keyof T]?: string } {
  const known: { [K in keyof T]?: string } = {};
  for (const name in given) {
    const value = given[name];
    if (value !== undefined) known[name] = value;
  }
  return known;
}

async function* nothing(): AsyncGenerator<string> {}

async function runCheckCommand(loaded: LoadedConfiguration, context: CliContext): Promise<number> {
  const { values } = loaded;
  writeNotes(loaded.notes, context);
  const { stdout, stderr } = context;
  const line = startProgress({
    isTty: stderr.isTTY === true,
    columns: hasColumns(stderr) ? stderr.columns : 80,
    write: (text) => stderr.write(text),
  });
  const commands = await context.commands();
  const document = await commands
    .check(loaded, { progress: (progress) => line.show(progress), signal: context.signal })
    .finally(() => line.end());
  // What was not tested would be missing from the report, and would not count against the node.
  context.signal.throwIfAborted();
  stdout.write(
    renderReport(document, {
      format: values.format,
      color: stdout.isTTY === true && !values.noColor,
      ...(stdout.isTTY === true && hasColumns(stdout) ? { width: stdout.columns } : {}),
    }),
  );
  return exitCodeOf(document, { strict: values.strict });
}

/** A terminal that nobody has given a size (`docker exec -t`, `script`) says that it has 0 columns. */
function hasColumns(output: Output): output is Output & { readonly columns: number } {
  return output.columns !== undefined && output.columns > 0;
}

function writeNotes(notes: readonly string[], { stderr }: CliContext): void {
  for (const note of notes) stderr.write(`cni-preflight: note: ${note}\n`);
}

type Options = Readonly<Record<string, unknown>>;

function addSettings(command: Command, name: CommandName): Command {
  for (const setting of settings) {
    if (setting.commands.includes(name)) command.addOption(optionOf(setting));
  }
  return command.option('--config <FILE>', 'a YAML file of settings');
}

function optionOf({ flag, argument, form, help, usual }: Setting): Option {
  const flags = argument === undefined ? `--${flag}` : `--${flag} <${argument}>`;
  // Not as a default of commander's: a flag that was not given must not look like one.
  const option = new Option(flags, usual === undefined ? help : `${help} (default: ${usual})`);
  if (form !== 'list') return option;
  return option.argParser((value: string, previous: readonly string[] | undefined) => [
    ...(previous ?? []),
    value,
  ]);
}

/** What was given, by setting. Commander names options after their flags, and turns `--no-color` into `color`. */
function flagsOf(options: Options): Flags {
  const flags: Record<string, Flags[keyof Flags]> = {};
  for (const { name, flag } of settings) {
    const given = flag.startsWith('no-')
      ? options[camelCase(flag.slice(3))] === false || undefined
      : options[camelCase(flag)];
    if (typeof given === 'string' || typeof given === 'boolean') flags[name] = given;
    if (Array.isArray(given)) flags[name] = given.map(String);
  }
  if (typeof options['config'] === 'string') flags['config'] = options['config'];
  return flags;
}

function camelCase(flag: string): string {
  return flag.replace(/-([a-z])/g, (_dash, letter: string) => letter.toUpperCase());
}

/** Commander writes `error: …` and the suggestion on a line of its own. */
function oneSentence(text: string, program: Command): string {
  const sentence = text
    .trim()
    .replace(/^error: /, '')
    .replace(/\n\(Did you mean (.*)\?\)/s, '; did you mean $1?');
  const names = program.commands.map((command) => command.name()).join(', ');
  const hint = sentence.startsWith('unknown command')
    ? ` (valid: ${names})`
    : sentence.startsWith('unknown option')
      ? ' (--help lists the valid ones)'
      : '';
  return `cni-preflight: ${sentence}${hint}\n`;
}

const exitCodeHelp = `Exit codes of check:
  0  no required finding failed (warnings are allowed)
  1  internal error
  2  wrong usage or configuration
  3  a required finding failed, of whatever peer
  4  none failed, but a required one is unknown
`;

const settingsHelp = `Settings come from flags, then the environment, then the file of --config. Each flag has its twin in
the environment: --peers-file is ${environmentPrefix}PEERS_FILE (lists are separated by commas).
`;

const checkHelp = `
Examples:
  cni-preflight check --provider all
      which providers could this node run? (no peers needed)
  cni-preflight check --provider canal --set tunnelPort=4789 --peers-file nodes.txt --wait 60
      run it on all new nodes at once: they test one another
  cni-preflight check --provider cilium --peer 10.0.0.12=worker-2 --format json
      for a program; \`junit\` for a pipeline
  cni-preflight check --provider calico --only ip-protocol --only calico.bgp
      one kind of requirement, and one more requirement

${settingsHelp}
${exitCodeHelp}`;

const agentHelp = `
Examples:
  cni-preflight agent --provider canal --peers-file /etc/cni-preflight/nodes
  cni-preflight agent --discover dns --discover-name nodes.example.org --key-file /etc/cni-preflight/key
  curl http://NODE:10472/status?format=text

SIGHUP, and a change of one of the files, reloads the configuration; a bad one is refused and the old one kept.

${settingsHelp}
Exit codes: 0 ended by SIGTERM or SIGINT, 1 internal error, 2 wrong usage or configuration.
`;

const explainHelp = `
Examples:
  cni-preflight explain udp/8472 --from 10.0.0.2          would VXLAN of that node get in?
  cni-preflight explain tcp/6443 --to 10.0.0.1            would this node get out to the API server?
  cni-preflight explain udp/8472 --from 10.0.0.2 --to 10.0.0.3      would it be forwarded?
  cni-preflight explain --packets packets.jsonl --format jsonl

A line of --packets: {"direction":"in|out|forward","protocol":"udp|tcp|icmp|icmpv6|N","source","destination","sourcePort",
"destinationPort","inInterface","outInterface","icmpType","icmpCode","conntrack":"new"}. What is left out is open: the answer then
holds for every value of it, or is undetermined. The packet is a new connection unless conntrack says otherwise.

Exit codes: 0 accept, 1 internal error, 2 wrong usage (or a bad line of --packets), 3 drop or reject, 4 undetermined; of many packets
the worst.
`;

const providersHelp = `
Examples:
  cni-preflight providers                  the comparison table
  cni-preflight providers cilium           options, requirements, disputes, sources
  cni-preflight providers cilium --format json

Exit codes: 0 shown, 1 internal error, 2 wrong usage or configuration.
`;

const configHelp = `
Examples:
  CNI_PREFLIGHT_PROVIDER=canal cni-preflight config --config /etc/cni-preflight/config.yaml

${settingsHelp}
Exit codes: 0 the configuration is valid, 1 internal error, 2 it is not.
`;
