/** @module Whether what the provider and its companions wrote into this node's firewall was taken away by somebody else. */
import {
  adviceAgainst,
  isNeeded,
  type RuleOwner,
  type RuleOwners,
  restoringCommands,
  type Surrounding,
} from '../rules/rule-owners.ts';
import {
  type AnswerRemedy,
  type Check,
  type Evidence,
  fail,
  pass,
  skip,
  unknown,
} from './check.ts';
import type { NoticedWipe } from './wiped-rules.ts';

/** Looks at what others have noticed: a check that runs once has no before to compare with. */
export const firewallWipe: Check<'firewall-wipe'> = {
  kind: 'firewall-wipe',
  summary: 'nobody took away the rules that the provider and kube-proxy wrote',
  scope: 'node',
  needs: [],

  async run(_params, _target, { wipes, ruleOwners, host, facts, distribution, options }) {
    if (wipes === undefined) return skip('no-history');
    const reading = await host.firewall();
    if (!reading.readable) return unknown(reading.reason, { why: reading.why });
    const open = wipes();
    if (open === undefined) return skip('no-history');
    const node = { provider: facts.provider, distribution, options };
    // Rules that an older provider left behind may go.
    const lost = open.flatMap((wipe): readonly Lost[] => {
      const owner = ruleOwners.owners.get(wipe.owner);
      return owner === undefined || !isNeeded(owner, node) ? [] : [{ wipe, owner }];
    });
    if (lost.length === 0) return pass({});
    return fail(
      'firewall-rules-wiped',
      evidenceOf(lost, ruleOwners),
      { where: 'node', node: 'this' },
      remediesOf(lost, node),
    );
  },
};

interface Lost {
  readonly wipe: NoticedWipe;
  readonly owner: RuleOwner;
}

function evidenceOf(lost: readonly Lost[], known: RuleOwners): Evidence {
  const processes = new Map(
    lost.flatMap(({ wipe: { process } }) =>
      process === undefined ? [] : [[process.pid, process]],
    ),
  );
  const names = [...new Set([...processes.values()].map(({ name }) => name))];
  const [name] = names;
  const [only] = processes.values();
  // Whether somebody else did it is not sure then, and what nobody did needs no advice.
  const isSure = lost.some(({ wipe }) => !wipe.mayBeOwn);
  const advice =
    isSure && name !== undefined && names.length === 1 ? adviceAgainst(name, known) : undefined;
  return {
    owners: [...new Set(lost.map(({ owner }) => owner.title))].join(', '),
    lost: [...new Set(lost.map(({ wipe }) => lossText(wipe)))].join('; '),
    noticedAt: lost.map(({ wipe }) => wipe.noticedAt).sort()[0] ?? '',
    ...(names.length === 0 ? {} : { process: names.join(', ') }),
    ...(only === undefined || processes.size > 1 ? {} : { pid: only.pid }),
    ...(advice === undefined ? {} : { advice }),
  };
}

function lossText({ what, lost, place, chains }: NoticedWipe): string {
  if (what === 'rules') return `${lost} ${lost === 1 ? 'rule' : 'rules'} of ${place}`;
  return `the way from ${chains.join(' and ')} into its chains of ${place}`;
}

/** One entry for all owners that come back by the same commands, as those of Canal do. */
function remediesOf(lost: readonly Lost[], node: Surrounding): readonly AnswerRemedy[] {
  const remedies = new Map<string, AnswerRemedy>();
  for (const { wipe, owner } of lost) {
    const commands = restoringCommands(owner, node);
    const key = commands.join('\n');
    if (commands.length > 0 && !remedies.has(key))
      remedies.set(key, { manager: wipe.owner, commands });
  }
  return [...remedies.values()];
}
