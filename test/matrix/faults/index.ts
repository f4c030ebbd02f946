/** @module Every class of faults that the matrix makes. */
import type { Fault } from '../fault.ts';
import { answerFaults } from './answers.ts';
import { fabricFaults } from './fabric.ts';
import { hostFirewallFaults } from './host-firewall.ts';
import { mtuFaults } from './mtu.ts';
import { noFaults } from './nothing.ts';
import { overlayFaults } from './overlay.ts';
import { pairedFaults } from './pairs.ts';
import { programFaults } from './programs.ts';
import { receiverFaults } from './receiver.ts';
import { routingFaults } from './routing.ts';

export const faults: readonly Fault[] = [
  ...noFaults,
  ...hostFirewallFaults,
  ...programFaults,
  ...answerFaults,
  ...fabricFaults,
  ...receiverFaults,
  ...routingFaults,
  ...mtuFaults,
  ...overlayFaults,
  ...pairedFaults,
];
