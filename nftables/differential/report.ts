/** @module A failing case for a person: the ruleset, the packet, what the kernel did and what we said. */
import { courseOf } from './course.ts';
import { deciderText } from './judge.ts';
import type { Decision } from './round.ts';
import { type Script, scriptText } from './script.ts';
import { questionOf } from './shot.ts';

export function caseText(script: Script, decision: Decision, origin: string): string {
  const { shot, seen, answer, judgement } = decision;
  const course = courseOf(seen);
  const faults = (judgement?.faults ?? []).map(({ fault, text }) => `- ${fault}: ${text}`);
  const question = questionOf(shot);
  const { payload, ...rest } = question;
  const bytes = payload === undefined ? '' : ` payload ${Buffer.from(payload).toString('hex')}`;
  const trace = [
    ...seen.events
      .filter(({ type, handle }) => type === 'policy' || handle !== 0)
      .map((e) => `${e.family} ${e.table} ${e.chain} ${e.type} ${e.handle} ${e.verdict}`),
    ...seen.legacy.map((e) => `legacy ${e.family} ${e.table} ${e.chain} ${e.type} ${e.index}`),
  ];
  const path = answer.path.map(
    ({ rule, matched, did }) =>
      `${rule.family} ${rule.table} ${rule.chain} ${rule.handle || `#${rule.index}`} ${matched} ${did.join(', ')}`,
  );
  const chains = answer.chains.map(
    ({ chain, possible }) =>
      `${chain.family} ${chain.table} ${chain.name}: ${possible.map((one) => `${one.verdict} by ${deciderText(one.decidedBy)}`).join(' or ')}`,
  );
  const extra = [
    shot.connection === undefined ? '' : ` (its connection is in conntrack: ${shot.connection})`,
    shot.tcpOptions.length === 0
      ? ''
      : ` (TCP options ${Buffer.from(shot.tcpOptions).toString('hex')})`,
  ].join('');
  return [
    `# ${origin}`,
    '',
    ...faults,
    '',
    '```',
    scriptText(script).trimEnd(),
    '```',
    '',
    `Packet: ${JSON.stringify(rest)}${bytes}${extra}`,
    '',
    `Kernel: delivered ${seen.delivered}, left by ${seen.left.join(', ') || 'none'}, ICMP error ${seen.error === undefined ? 'none' : `${seen.error.type}/${seen.error.code}`}; ended ${course.ended.map(({ base, verdict, rule }) => `${base}: ${verdict} by ${rule ?? 'policy'}`).join('; ')}`,
    '',
    ...trace.map((line) => `    ${line}`),
    '',
    `We: ${answer.verdict} by ${deciderText(answer.decidedBy)}, arrives ${answer.arrives}, possible ${answer.possible.map((one) => `${one.verdict} by ${deciderText(one.decidedBy)}`).join(' or ')}`,
    '',
    ...path.map((line) => `    path  ${line}`),
    ...chains.map((line) => `    chain ${line}`),
    ...answer.unknowns.map(({ why, rule }) => `    unknown ${rule.chain} ${rule.handle}: ${why}`),
    ...answer.rewrites.map(
      (one) =>
        `    rewrite ${one.kind} ${one.address ?? '?'} ${one.port ?? ''} certain ${one.certain}`,
    ),
    '',
  ].join('\n');
}
