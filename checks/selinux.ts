/** @module Tells what SELinux has forbidden the provider's programs, and whether it has a policy for them. */
import type { ParamsByKind } from '../rules/schema.ts';
import { type Answer, type Check, type Context, fail, pass, unknown } from './check.ts';

const auditLog = '/var/log/audit/audit.log';
/** The log is read to its end only so far back: what is older has been seen before. */
const tailBytes = 1 << 20;

/** Looks at SELinux where it enforces. */
export const selinux: Check<'selinux'> = {
  kind: 'selinux',
  summary: 'SELinux forbids the provider nothing, and has its policy',
  scope: 'node',
  needs: [],

  async run(params, _target, { host }) {
    const mode = await modeOf(host);
    if (mode !== 'enforcing') return pass({ mode });
    return (await missingModules(params, host)) ?? (await denials(params, host)) ?? pass({ mode });
  },
};

async function modeOf(host: Context['host']): Promise<string> {
  const text = (await host.readText('/sys/fs/selinux/enforce'))?.trim();
  if (text === undefined) return 'not in use';
  return text === '1' ? 'enforcing' : 'permissive';
}

/** A policy store is a folder a kind of policy, in it folders by priority, in these one a module. */
async function missingModules(
  { modules }: ParamsByKind['selinux'],
  host: Context['host'],
): Promise<Answer | undefined> {
  if (modules === undefined) return undefined;
  const store = '/var/lib/selinux';
  const kinds = await host.listDirectory(store);
  // A system whose store is elsewhere (an image of ostree) shows none, and proves nothing.
  if (kinds === undefined || kinds.length === 0)
    return unknown('permission-denied', { unreadable: store });
  let looked = false;
  for (const kind of kinds) {
    const folder = `${store}/${kind}/active/modules`;
    for (const priority of (await host.listDirectory(folder)) ?? []) {
      const names = (await host.listDirectory(`${folder}/${priority}`)) ?? [];
      looked ||= names.length > 0;
      if (names.some((name) => modules.includes(name))) return undefined;
    }
  }
  if (!looked) return unknown('permission-denied', { unreadable: store });
  return fail(
    'selinux-policy-missing',
    { mode: 'enforcing', modules: modules.join(',') },
    { where: 'node', node: 'this' },
  );
}

interface Denial {
  readonly program: string;
  readonly denied: string;
  readonly name: string;
  readonly class: string;
  readonly seconds: number;
}

async function denials(
  { programs }: ParamsByKind['selinux'],
  host: Context['host'],
): Promise<Answer | undefined> {
  if (programs === undefined) return undefined;
  const log = await host.readTail(auditLog, tailBytes);
  // Without auditd the kernel logs to its own ring, which is not read here.
  if (log === undefined) return unknown('permission-denied', { unreadable: auditLog });
  const booted = Number(/^btime (\d+)$/m.exec((await host.readText('/proc/stat')) ?? '')?.[1] ?? 0);
  const found = log
    .split('\n')
    .flatMap((line) => denialOf(line) ?? [])
    .filter(
      ({ program, seconds }) =>
        seconds >= booted && programs.some((start) => program.startsWith(start)),
    );
  const last = found.at(-1);
  if (last === undefined) return undefined;
  const { seconds, ...what } = last;
  return fail(
    'selinux-denies',
    { ...what, count: found.length, at: new Date(seconds * 1000).toISOString() },
    { where: 'node', node: 'this' },
  );
}

/**
 * `type=AVC msg=audit(SECONDS.MS:SERIAL): avc:  denied  { write } for  pid=7 comm="flanneld" name="net.d" … tclass=dir permissive=0`. One
 * that was permissive was let through.
 */
export function denialOf(line: string): Denial | undefined {
  const head =
    /^type=AVC msg=audit\((\d{1,12})\.\d{1,6}:\d{1,20}\): avc: {1,2}denied {1,2}\{ ([\w ]{1,100}) \}/.exec(
      line,
    );
  const program = /\bcomm="([^"]{1,16})"/.exec(line)?.[1];
  if (head === null || program === undefined || /\bpermissive=1\b/.test(line)) return undefined;
  return {
    program,
    denied: head[2] ?? '',
    name: /\b(?:name|path)="([^"]{1,200})"/.exec(line)?.[1] ?? '?',
    class: /\btclass=(\w{1,32})/.exec(line)?.[1] ?? '?',
    seconds: Number(head[1]),
  };
}
