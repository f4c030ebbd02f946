/** @module The probe arrives, and its answer does not. */
import { type Fault, nftAnswerMatch, type Scene, type Truth } from '../fault.ts';
import { placeRule } from '../firewall.ts';

/** Only TCP and echo need an answer. */
const answered = ['icmp', 'tcp'] as const;
const unanswered = ['udp', 'vxlan'] as const;

async function answerRule(
  scene: Scene,
  side: 'sender' | 'receiver',
  stage: 'input' | 'output' | 'prerouting' | 'postrouting',
): Promise<Truth> {
  const place = side === 'sender' ? scene.sender : scene.receiver;
  const rule = await placeRule(scene, {
    place,
    stage,
    action: 'drop',
    manager: 'nft',
    match: nftAnswerMatch(scene),
    ...(stage === 'prerouting' || stage === 'postrouting' ? { table: 'mangle' } : {}),
  });
  const { protocol } = scene;
  if (protocol === 'udp' || protocol === 'vxlan')
    return { outcome: 'pass', spread: { paths: 'pair', topics: [protocol] } };
  return {
    outcome: 'fail',
    node: side,
    where: ['node'],
    reasons: [`answer-dropped-by-${side}-firewall`],
    rule,
    spread: { paths: side, topics: [protocol] },
  };
}

function answerFault(
  name: string,
  about: string,
  side: 'sender' | 'receiver',
  stage: 'input' | 'output' | 'prerouting' | 'postrouting',
): Fault {
  return {
    name,
    about,
    protocols: [...answered, ...unanswered],
    inject: async (scene) => await answerRule(scene, side, stage),
  };
}

export const answerFaults: readonly Fault[] = [
  answerFault('answer-output', "the receiver's OUTPUT drops what it answers", 'receiver', 'output'),
  answerFault(
    'answer-postrouting',
    "the receiver's POSTROUTING drops what it answers",
    'receiver',
    'postrouting',
  ),
  answerFault('answer-input', "the sender's INPUT drops the answers", 'sender', 'input'),
  answerFault(
    'answer-prerouting',
    "the sender's PREROUTING drops the answers",
    'sender',
    'prerouting',
  ),
];
