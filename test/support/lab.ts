/**
 * @module A small cluster in network namespaces: nodes with one interface `e0` on a subnet of their own, and a router between
 * them. Runs inside test/support/in-namespace.sh only.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { StatusDocument } from '../../agent/model.ts';
import { describe } from './document.ts';
import { type HostSnapshot, snapshotHost } from './host-snapshot.ts';
import { LongProcess, type Output, type RunOptions, run, type Stopped } from './process.ts';
import { type UntilOptions, until } from './wait.ts';

export interface LabOptions {
  readonly nodes: number;
  /** IPv4 only when false. */
  readonly ipv6?: boolean;
  /** MTU of every way behind the router, told by ICMP errors; the nodes' own interfaces keep 1500. */
  readonly mtu?: number;
  /** What the addresses of node nK begin with: `10.99` makes 10.99.K.2, `fd99` makes fd99:K::2. */
  readonly subnets?: Subnets;
}

export interface Subnets {
  readonly ipv4: string;
  readonly ipv6: string;
}

const usualSubnets: Subnets = { ipv4: '10.99', ipv6: 'fd99' };

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface CheckResult {
  readonly exitCode: number;
  readonly document: StatusDocument;
  readonly stderr: string;
}

export interface Fault extends AsyncDisposable {
  /** How many packets its rules that have a `counter` have met. */
  packets(): Promise<number>;
}

export interface ChainOptions {
  readonly family?: 'inet' | 'ip' | 'ip6' | 'netdev';
  readonly type?: 'filter' | 'nat' | 'route';
  readonly priority?: number;
  readonly policy?: 'accept' | 'drop';
  /** Of a netdev chain. */
  readonly device?: string;
}

export const HTTP_PORT = 10472;

/** Makes nodes n1 … nN and the router; everything is gone when the lab is disposed of. */
export async function createLab(options: LabOptions): Promise<Lab> {
  if (!existsSync('/run/netns')) {
    throw new Error('a lab is made inside test/support/in-namespace.sh only: `npm run test:lab`');
  }
  const lab = new Lab(options);
  try {
    await lab.build(options);
  } catch (error) {
    await lab[Symbol.asyncDispose]();
    throw error;
  }
  return lab;
}

export class Lab implements AsyncDisposable {
  readonly nodes: readonly LabNode[];
  readonly router: Router;

  constructor({ nodes, ipv6 = true, subnets = usualSubnets }: LabOptions) {
    // The name tells two labs of one run apart.
    const id = randomBytes(3).toString('hex');
    this.nodes = Array.from({ length: nodes }, (_, i) => new LabNode(id, i + 1, ipv6, subnets));
    this.router = new Router(`lab-${id}-router`);
  }

  node(name: string): LabNode {
    const found = this.nodes.find((node) => node.name === name);
    if (found === undefined) throw new Error(`no node ${name} in this lab`);
    return found;
  }

  /** `--peer` for every other node, by IPv4, by IPv6 or both. */
  peerArguments(
    own: LabNode,
    families: readonly ('ipv4' | 'ipv6')[] = ['ipv4'],
  ): readonly string[] {
    return this.nodes
      .filter((node) => node !== own)
      .flatMap((node) =>
        families.flatMap((family) => [
          '--peer',
          family === 'ipv4' ? `${node.address4}=${node.name}` : `[${node.address6}]=${node.name}`,
        ]),
      );
  }

  async build({ ipv6 = true, mtu }: LabOptions): Promise<void> {
    const { nodes, router } = this;
    const places = [router, ...nodes];
    await run('ip', ['-batch', '-'], {
      input: places.map(({ namespace }) => `netns add ${namespace}\n`).join(''),
    });
    // Before the links exist, for a link takes its settings from `default` when it is made.
    await Promise.all(
      places.map((place) =>
        place.exec('sysctl', [
          '-qw',
          'net.ipv4.ip_forward=1',
          'net.ipv6.conf.all.forwarding=1',
          'net.ipv6.conf.default.accept_dad=0',
          // An ICMP error that the limit swallows would make a reject look like a drop, by chance.
          'net.ipv4.icmp_ratelimit=0',
          'net.ipv6.icmp.ratelimit=0',
          `net.ipv6.conf.default.disable_ipv6=${ipv6 ? 0 : 1}`,
        ]),
      ),
    );
    await run('ip', ['-batch', '-'], {
      input: nodes
        .map(
          ({ namespace, index }) =>
            `link add name e0 netns ${namespace} type veth peer name e${index} netns ${router.namespace}\n`,
        )
        .join(''),
    });
    await Promise.all(places.map((place) => place.ip(place.setup(nodes))));
    if (ipv6) {
      await Promise.all([
        router.ipv6Ready(nodes.map(({ index }) => `e${index}`)),
        ...nodes.map((node) => node.ipv6Ready(['e0'])),
      ]);
    }
    if (mtu !== undefined) await Promise.all(nodes.map((node) => router.pathMtu(node, mtu)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node[Symbol.asyncDispose]()));
    for (const { namespace } of [this.router, ...this.nodes]) {
      await run('ip', ['netns', 'del', namespace], { expectExit: 'any' });
    }
  }
}

/** A network namespace, and what can be done in it. */
export class Place {
  readonly namespace: string;

  constructor(namespace: string) {
    this.namespace = namespace;
  }

  /** Runs a command in there to its end; throws unless it exits 0 or as expected. */
  exec(command: string, args: readonly string[], options: RunOptions = {}): Promise<Output> {
    return run('ip', ['netns', 'exec', this.namespace, command, ...args], options);
  }

  /** Runs lines of `ip` commands. */
  async ip(lines: readonly string[]): Promise<void> {
    await run('ip', ['-n', this.namespace, '-batch', '-'], {
      input: `${lines.join('\n')}\n`,
    });
  }

  /**
   * Waits until IPv6 works on these interfaces. Their link-local address comes when the kernel's link watch, which looks once a
   * second, has told IPv6 that the link is ready; without one the node sends no neighbour solicitation (ndisc_send_ns).
   */
  async ipv6Ready(interfaces: readonly string[]): Promise<void> {
    await until(`IPv6 works on ${interfaces.join(', ')} of ${this.namespace}`, async () => {
      const args = [
        '-n',
        this.namespace,
        '-6',
        '-br',
        'addr',
        'show',
        'scope',
        'link',
        '-tentative',
      ];
      const { stdout } = await run('ip', args);
      const ready = new Set(stdout.split('\n').map((line) => line.split(/[@ ]/)[0]));
      return interfaces.every((name) => ready.has(name)) ? true : undefined;
    });
  }

  /** Loads nft text. */
  async nft(text: string): Promise<void> {
    await this.exec('nft', ['-f', '-'], { input: text });
  }

  /** Removes every nft rule, and what conntrack remembers of them. */
  async flush(): Promise<void> {
    await this.nft('flush ruleset');
    await this.forgetFlows();
  }

  /** Empties the connection table, so that nothing passes as established that was not. */
  async forgetFlows(): Promise<void> {
    await this.exec('conntrack', ['-F'], { expectExit: [0, 1] });
  }

  /** A table with one base chain that holds these rules; it goes away with the returned object. */
  async chain(
    hook: string,
    rules: string | readonly string[],
    options: ChainOptions = {},
  ): Promise<Fault> {
    const { family = 'inet', type = 'filter', priority = 0, policy = 'accept', device } = options;
    const table = `fault_${randomBytes(3).toString('hex')}`;
    const where = device === undefined ? hook : `${hook} device "${device}"`;
    const body = [rules].flat().join('\n');
    await this.nft(
      `table ${family} ${table} {
        chain c { type ${type} hook ${where} priority ${priority}; policy ${policy};\n${body}\n}
      }`,
    );
    return {
      packets: async () => {
        const { stdout } = await this.exec('nft', ['list', 'table', family, table]);
        let packets = 0;
        for (const [, count] of stdout.matchAll(/counter packets (\d+)/g)) packets += Number(count);
        return packets;
      },
      [Symbol.asyncDispose]: async () => {
        await this.nft(`delete table ${family} ${table}`);
        await this.forgetFlows();
      },
    };
  }
}

/** What lies between the nodes: interface `eK` leads to node nK. */
export class Router extends Place {
  setup(nodes: readonly LabNode[]): readonly string[] {
    return [
      'link set lo up',
      ...nodes.flatMap(({ index, ipv6, gateway4, gateway6 }) => [
        `addr add ${gateway4}/24 dev e${index}`,
        ...(ipv6 ? [`addr add ${gateway6}/64 dev e${index} nodad`] : []),
        `link set e${index} up`,
      ]),
    ];
  }

  /** From now on only packets up to this size reach the node: larger ones with DF get an ICMP error, others are cut. */
  async pathMtu(node: LabNode, bytes: number): Promise<void> {
    const { index, ipv6, subnets, gateway4 } = node;
    await this.ip([
      `route replace ${subnets.ipv4}.${index}.0/24 dev e${index} proto kernel scope link src ${gateway4} mtu ${bytes}`,
      ...(ipv6
        ? [
            `route replace ${subnets.ipv6}:${index}::/64 dev e${index} proto kernel metric 256 mtu ${bytes}`,
          ]
        : []),
    ]);
  }

  /** The black hole: the router says nothing of what it does not forward. */
  silence(): Promise<Fault> {
    return this.chain('output', [
      'icmp type { destination-unreachable, time-exceeded } counter drop',
      'icmpv6 type { destination-unreachable, packet-too-big, time-exceeded } counter drop',
    ]);
  }
}

/** A node: its interface is `e0`, its host name its own. */
export class LabNode extends Place implements AsyncDisposable {
  readonly index: number;
  readonly name: string;
  readonly address4: string;
  readonly address6: string;
  /** The router's own. */
  readonly gateway4: string;
  readonly gateway6: string;
  readonly ipv6: boolean;
  readonly subnets: Subnets;
  readonly #agents: LabAgent[] = [];
  #inside: Inside | undefined;

  constructor(lab: string, index: number, ipv6: boolean, subnets: Subnets) {
    super(`lab-${lab}-n${index}`);
    this.index = index;
    this.name = `n${index}`;
    this.address4 = `${subnets.ipv4}.${index}.2`;
    this.address6 = `${subnets.ipv6}:${index}::2`;
    this.gateway4 = `${subnets.ipv4}.${index}.254`;
    this.gateway6 = `${subnets.ipv6}:${index}::fe`;
    this.ipv6 = ipv6;
    this.subnets = subnets;
  }

  setup(): readonly string[] {
    const { address4, address6, gateway4, gateway6, ipv6 } = this;
    return [
      'link set lo up',
      `addr add ${address4}/24 dev e0`,
      ...(ipv6 ? [`addr add ${address6}/64 dev e0 nodad`] : []),
      'link set e0 up',
      `route add default via ${gateway4}`,
      ...(ipv6 ? [`route add default via ${gateway6}`] : []),
    ];
  }

  /**
   * Runs the built program: `check ARGS --format json`. Where a busy machine made it stall, it says `inconclusive`, and is
   * run again, twice at most.
   */
  async check(
    args: readonly string[],
    options: { readonly expectExit?: number; readonly timeoutMs?: number } = {},
  ): Promise<CheckResult> {
    let result = await this.#checkOnce(args, options);
    for (let again = 0; again < 2; again++) {
      const { document } = result;
      if (document.findings.every(({ reason }) => reason !== 'inconclusive')) break;
      result = await this.#checkOnce(args, options);
    }
    const { exitCode, document, stderr } = result;
    if (options.expectExit !== undefined && exitCode !== options.expectExit) {
      throw new Error(
        `check on ${this.name} exited ${exitCode}, not ${options.expectExit}:\n${describe(document)}\n${stderr}`,
      );
    }
    return result;
  }

  async #checkOnce(
    args: readonly string[],
    options: { readonly timeoutMs?: number },
  ): Promise<CheckResult> {
    const { exitCode, stdout, stderr } = await this.program(
      ['check', ...args, '--format', 'json'],
      {
        expectExit: 'any',
        timeoutMs: options.timeoutMs ?? 60_000,
      },
    );
    let document: StatusDocument;
    try {
      document = JSON.parse(stdout) as StatusDocument;
    } catch (cause) {
      throw new Error(
        `check ${args.join(' ')} on ${this.name} exited ${exitCode} without a document:\n${stdout.slice(0, 2000)}\n${stderr}`,
        { cause },
      );
    }
    return { exitCode, document, stderr };
  }

  /** Runs the built program with these arguments to its end, as it would run on this node. */
  program(args: readonly string[], options: RunOptions = {}): Promise<Output> {
    const [command, ...rest] = this.#asThisNode([process.execPath, builtProgram(), ...args]);
    return this.exec(command, rest, options);
  }

  /** Starts the built program as an agent; resolves once it answers, unless `waitUntilHealthy` is false. */
  async agent(
    args: readonly string[],
    options: {
      readonly waitUntilHealthy?: boolean;
      /** A command to run it under, e.g. `strace -f`. */
      readonly under?: readonly string[];
    } = {},
  ): Promise<LabAgent> {
    const [command, ...rest] = this.#asThisNode([
      ...(options.under ?? []),
      process.execPath,
      builtProgram(),
      'agent',
      ...args,
    ]);
    const agent = new LabAgent(this, ['netns', 'exec', this.namespace, command, ...rest]);
    this.#agents.push(agent);
    if (options.waitUntilHealthy ?? true) {
      try {
        await until(
          `the agent on ${this.name} answers`,
          async () => {
            if (!agent.running) throw new Error('it has ended');
            const { status } = await agent.get('/healthz');
            return status === 200 ? true : undefined;
          },
          { deadlineMs: 60_000, describe: () => agent.logs.slice(-8000) },
        );
      } catch (error) {
        await agent[Symbol.asyncDispose]();
        throw error;
      }
    }
    return agent;
  }

  /** An HTTP request from inside this node. */
  http(
    url: string,
    options: {
      readonly method?: string;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
      readonly timeoutMs?: number;
    } = {},
  ): Promise<HttpAnswer> {
    const request = { method: 'GET', timeoutMs: 5000, ...options, url };
    return this.#hands().call<HttpAnswer>('http', request);
  }

  /** Something that listens on a TCP port of this node; with a body it answers HTTP. */
  async listen(port: number, host = '0.0.0.0', body?: string): Promise<AsyncDisposable> {
    const hands = this.#hands();
    const { id } = await hands.call<{ id: number }>('listen', {
      port,
      host,
      body,
    });
    return {
      [Symbol.asyncDispose]: async () => {
        await hands.call('unlisten', { server: id });
      },
    };
  }

  /** Everything of this node that the program must not change, as text by topic. */
  snapshotHost(peers: readonly LabNode[]): Promise<HostSnapshot> {
    const addresses = peers.flatMap(({ address4, address6, ipv6 }) =>
      ipv6 ? [address4, address6] : [address4],
    );
    return snapshotHost(this, addresses);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#agents.map((agent) => agent[Symbol.asyncDispose]()));
    await this.#inside?.[Symbol.asyncDispose]();
  }

  #hands(): Inside {
    this.#inside ??= new Inside(this.namespace);
    return this.#inside;
  }

  // A host name of its own, for the program names its node after it.
  #asThisNode(command: readonly string[]): [string, ...string[]] {
    return ['unshare', '--uts', 'sh', '-c', 'hostname "$0" && exec "$@"', this.name, ...command];
  }
}

/** A running agent of a node. */
export class LabAgent extends LongProcess {
  readonly node: LabNode;

  constructor(node: LabNode, args: readonly string[]) {
    super('ip', args);
    this.node = node;
  }

  /** GET from inside the node. */
  get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<HttpAnswer> {
    return this.node.http(`http://${this.node.address4}:${HTTP_PORT}${path}`, {
      headers,
    });
  }

  /** POST from inside the node. */
  post(path: string, body?: string): Promise<HttpAnswer> {
    return this.node.http(`http://${this.node.address4}:${HTTP_PORT}${path}`, {
      method: 'POST',
      timeoutMs: 20_000,
      ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
    });
  }

  /** The document of GET /status. */
  async status(query = ''): Promise<StatusDocument> {
    const { status, body } = await this.get(`/status${query}`, {
      accept: 'application/json',
    });
    if (status !== 200) throw new Error(`GET /status on ${this.node.name}: ${status} ${body}`);
    return JSON.parse(body) as StatusDocument;
  }

  /** The first document that satisfies; when none does in time, the error shows the last. */
  statusWhen(
    what: string,
    satisfies: (document: StatusDocument) => boolean,
    options: UntilOptions = {},
  ): Promise<StatusDocument> {
    let last: StatusDocument | undefined;
    return until(
      `${this.node.name} reports ${what}`,
      async () => {
        last = await this.status();
        return satisfies(last) ? last : undefined;
      },
      {
        everyMs: 100,
        describe: () =>
          `${last === undefined ? 'no document' : describe(last)}\n${this.logs.slice(-4000)}`,
        ...options,
      },
    );
  }
}

export type { Stopped };

/** The process that acts for the test inside a node; see inside.mjs. */
/** A process in a node that answers a line with a line. */
class Inside extends LongProcess {
  readonly #waiting = new Map<
    number,
    { resolve: (answer: unknown) => void; reject: (error: Error) => void }
  >();
  #calls = 0;

  constructor(namespace: string, name = 'inside') {
    const script = `${process.cwd()}/test/support/${name}.mjs`;
    super('ip', ['netns', 'exec', namespace, process.execPath, script], 'pipe');
    const { stdout } = this.streams;
    if (stdout === null) throw new Error('it has no output');
    createInterface({ input: stdout }).on('line', (line) => {
      const { id, answer, error } = JSON.parse(line) as Reply;
      const caller = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) caller?.resolve(answer);
      else caller?.reject(new Error(error));
    });
    this.streams.on('close', () => {
      for (const { reject } of this.#waiting.values()) {
        reject(new Error(`the hands of ${namespace} have ended\n${this.stderr}`));
      }
      this.#waiting.clear();
    });
  }

  call<T>(operation: string, request: object): Promise<T> {
    this.#calls += 1;
    const id = this.#calls;
    return new Promise((resolve, reject) => {
      if (!this.running) {
        reject(new Error(`the hands have ended\n${this.stderr}`));
        return;
      }
      this.#waiting.set(id, {
        resolve: (answer) => resolve(answer as T),
        reject,
      });
      this.streams.stdin?.write(`${JSON.stringify({ ...request, id, operation })}\n`);
    });
  }
}

/** One end of a flow in a node, with its stations (station-worker.mjs). */
export class StationWorker extends Inside {
  constructor(node: Place) {
    super(node.namespace, 'station-worker');
  }
}

interface Reply {
  readonly id: number;
  readonly answer?: unknown;
  readonly error?: string;
}

/** Path of the built program; the tests of the lab and of e2e test nothing else. */
export function builtProgram(): string {
  const path = `${process.cwd()}/dist/agent/main.js`;
  if (!existsSync(path)) throw new Error(`${path} is not there: run \`npm run build\` first`);
  return path;
}
