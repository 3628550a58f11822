import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { ProducerGroupTable } from '../../src/broker/producer-group-table.ts';

const member = (connectionId: number) => ({
  connectionId,
  clientId: `client-${connectionId}`,
  language: 'JAVA',
  version: 479,
  remoteAddress: '10.0.0.9:5000',
});

describe('producer groups', () => {
  it('have the members whose heartbeats told so, until they leave or their connection does', () => {
    const table = new ProducerGroupTable(new ManualClock());
    const connections = (group: string) => [...table.members(group)].map((one) => one.connectionId);
    table.register('p', member(1));
    table.register('p', member(2));
    table.register('p', member(1));
    table.register('q', member(1));
    expect([connections('p'), connections('q')]).toEqual([[1, 2], [1]]);
    expect(table.membershipCount(1)).toBe(2);
    table.unregister('p', 2);
    expect(connections('p')).toEqual([1]);
    table.removeConnection(1);
    expect([connections('p'), connections('q'), table.membershipCount(1)]).toEqual([[], [], 0]);
  });

  it('name the connections that have gone silent', () => {
    const clock = new ManualClock();
    const table = new ProducerGroupTable(clock);
    table.register('p', member(1));
    clock.advance(100);
    table.register('p', member(2));
    clock.advance(50);
    expect(table.expiredConnections(100)).toEqual([1]);
    table.register('p', member(1));
    expect(table.expiredConnections(100)).toEqual([]);
  });
});
