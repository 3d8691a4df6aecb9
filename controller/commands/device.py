"""One device as the control unit sees it: the executor, and the one place where `UnitCheck` is caught.

`Device.execute` runs one command after the checks of eckd-commands 3.1 in their order: gates, code, sequence and
domain, count, then the command's own. Only one chain is active on a device; other paths are answered busy meanwhile.

Hardening: the outcome carries the images of changed tracks at the end of a write domain, at the last command of the
chain (chaining off), and wherever the ending status stops the chain. They must be durable before it is presented.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

from controller.commands.chain import ChainState, Claim
from controller.commands.checks import (
    COMMAND_REJECT,
    count_too_small,
    invalid_command,
    invalid_sequence,
    not_ready,
    reservation_taken,
)
from controller.commands.device_state import DeviceSettings as DeviceSettings
from controller.commands.device_state import DeviceState, SubsystemModes
from controller.commands.ending import BUSY, NORMAL_END, STATUS_MODIFIER, UNIT_CHECK_END
from controller.commands.outcome import Command, Outcome, TrackSource, TrackWrite, UnitCheck
from controller.commands.release_space import releases_space
from controller.commands.reservation import Reservation
from controller.commands.sensing import chain_sense, incomplete_domain, sense_image, state_change_pending
from controller.commands.subsystem_functions import NOTHING
from controller.commands.table import DATA_COMMANDS, NEEDS_READY, Rule, rules_for, with_sense_id

CHAIN_COMMAND = 0x40
SUPPRESS_LENGTH = 0x20
NO_OPERATION = 0x03
SENSE = 0x04
SENSE_PATH_GROUP = 0x34
UNCONDITIONAL_RESERVE = 0x14
RESET_ALLEGIANCE = 0x44
SUSPEND_RECONNECTION = 0x5B

# They take the device from a path that works or should sense: for hosts that hang (eckd-commands 5.2).
_TAKE_OVER = frozenset({UNCONDITIONAL_RESERVE, RESET_ALLEGIANCE})
# Accepted although the device is reserved to another path (5.2).
_NEVER_RESERVED = frozenset({SENSE_PATH_GROUP, UNCONDITIONAL_RESERVE, RESET_ALLEGIANCE})
_LEAVES_SENSE = frozenset({NO_OPERATION, SENSE})
_STOPPING_STATUS = ~STATUS_MODIFIER & 0xFF
_MOVES_NOTHING = frozenset({0x01, 0x02})


class Device(DeviceState):
    """One device. Not safe for several threads."""

    def __init__(
        self,
        settings: DeviceSettings,
        tracks: TrackSource,
        modes: SubsystemModes | None = None,
        reservation: Reservation | None = None,
    ) -> None:
        """`reservation`: the base's, of an alias."""
        super().__init__(settings, tracks, modes, reservation)
        self._rules = rules_for(settings.profile, self.kind, settings.geometry)
        if settings.sense_id is not None:
            self._rules = with_sense_id(self._rules, settings.sense_id)
        self._chain: ChainState | None = None
        self.changing: dict[Hashable, None] | None = None  # who was told that a state change is pending
        self.ready = True  # False: offline, commands for tracks in chains that begin from then on are refused
        self.is_peer: Callable[[Hashable], bool] = lambda path: False  # a reservation keeps no storage system out

    def execute(self, path: Hashable, command: Command) -> Outcome:
        """Run one command of `path`. Never raises for what a host does wrong: that is unit check in the outcome.

        A command that is not chained begins a new chain. Busy (10) when another path's chain is active, when another
        path has a reservation or a contingent allegiance; this path is then owed a device end
        (`take_owed_device_ends`). A chain that another system ended goes on to unit check, message 3F.
        """
        chain = self._chain
        if command.chained and chain is not None and chain.path == path:
            try:
                return self._run(chain, command)
            except UnitCheck as check:
                return self._unit_check(chain, command, check)
        paths, code = self.paths, command.code
        if command.chained and paths.take_cut_off(path):
            return self._refuse_cut_off(path, command)
        if self._is_busy(path, code):
            paths.owe_device_end(path)
            return Outcome(BUSY, residual=command.count)
        left_over = self._take_over(path) if code in _TAKE_OVER else self.end_chain(path)
        chain = self._chain = ChainState(self, path)
        try:
            if paths.take_cut_off(path) | paths.take_dispossession(path):
                raise reservation_taken()
            if code not in _LEAVES_SENSE:
                self.take_sense(paths.allegiance_of(path))
            if code != NO_OPERATION:
                paths.allegiance = None
            chain.waits = self.changing is not None or not self.ready
            outcome = self._run(chain, command)
        except UnitCheck as check:
            outcome = self._unit_check(chain, command, check)
        if left_over:
            outcome.writes = left_over + outcome.writes
        return outcome

    def hold(self, path: Hashable) -> bool:
        """Begin a chain of `path` without a command, for a host that works on whole tracks. `end_chain` ends it.

        False, and nothing is changed, when the device is busy for it, or reserved; it has lost it so, perhaps.
        """
        reserved = self.paths.is_reserved_elsewhere(path) and not self.is_peer(path)
        if reserved or self._is_busy(path, NO_OPERATION):
            return False
        self._chain = ChainState(self, path)
        return True

    @property
    def active_path(self) -> Hashable | None:
        """The path whose chain the device is working on, None when it is idle."""
        return self._chain.path if self._chain is not None else None

    @property
    def active_chain(self) -> ChainState | None:
        """What stands for the chain the device is working on: the same object as long as it lasts."""
        return self._chain

    def take_claim(self, path: Hashable, claim: Claim) -> None:
        """The chain of this path, if it has the device, keeps other exposures of the volume from these tracks."""
        if self._chain is not None and self._chain.path == path:
            self._chain.claim = claim

    def begin_updates(self, path: Hashable) -> None:
        """The Remote Write Prefix of this path's chain was accepted."""
        if self._chain is not None and self._chain.path == path:
            self._chain.updates = True

    def takes_updates(self, path: Hashable) -> bool:
        """Did the chain of this path begin with an accepted Remote Write Prefix?"""
        return self._chain is not None and self._chain.path == path and self._chain.updates

    @property
    def position(self) -> int:
        """The track that the chain at work stands on, or the access when there is none."""
        return self._chain.track if self._chain is not None else self.track

    def end_chain(self, path: Hashable) -> tuple[TrackWrite, ...]:
        """The chain of `path` is over, or cut off: drop its state and return the changed tracks not yet hardened."""
        chain = self._chain
        if chain is None or chain.path != path:
            return ()
        self.track = chain.track
        self._chain = None
        return chain.take_writes() if chain.changed else ()

    def _take_over(self, path: Hashable) -> tuple[TrackWrite, ...]:
        """End the chain and the allegiance of whoever has the device; what the chain had changed is returned."""
        chain, paths = self._chain, self.paths
        if chain is None:
            paths.allegiance = None
            return ()
        paths.allegiance = None
        if chain.path == path:
            return self.end_chain(path)
        return self._cut_off(chain)

    def give_way(self, path: Hashable) -> tuple[TrackWrite, ...]:
        """The volume was taken over by `path` at another of its addresses: the chain of another host is ended too."""
        chain, reservation = self._chain, self.paths.reservation
        if chain is None or self.is_peer(chain.path) or reservation.identity(chain.path) == reservation.identity(path):
            return ()
        return self._cut_off(chain)

    def _cut_off(self, chain: ChainState) -> tuple[TrackWrite, ...]:
        chain.cut_off = True
        self.paths.cut_off(chain.path)
        return self.end_chain(chain.path)

    def _refuse_cut_off(self, path: Hashable, command: Command) -> Outcome:
        """The chain of this command was ended by another system: unit check, whoever has the device now."""
        self.paths.take_dispossession(path)
        image = sense_image(self, self.track, reservation_taken())
        if self._chain is None:
            self.keep_sense(path, command, image)
        elif not command.concurrent_sense:
            self.hold_sense(self.paths.allegiance_of(path), image)
        return Outcome(UNIT_CHECK_END, residual=command.count, sense=image)

    def begin_state_change(self) -> None:
        """Commands for tracks, in chains that begin from now on, end with "state change pending"; also long busy."""
        if self.changing is None:
            self.changing = {}

    def tell_to_wait(self, path: Hashable) -> UnitCheck | None:
        """Count the path among those that are told, and return what to tell it; None when no change is pending."""
        if self.changing is None:
            return None
        self.changing[self.paths.identity(path)] = None
        return self.state_change_pending()

    def _may_wait(self, chain: ChainState, command: Command) -> None:
        """Raise what keeps the command from its track: the device is not ready, or a state change is pending."""
        if not self.ready:
            raise not_ready()
        if command.code in DATA_COMMANDS or releases_space(command):
            raise self._told_to_wait(chain)

    def _told_to_wait(self, chain: ChainState) -> UnitCheck:
        if self.changing is not None:
            self.changing[self.paths.identity(chain.path)] = None
        return state_change_pending(self, chain.track)

    def end_state_change(self) -> tuple[Hashable, ...]:
        """The change is done: return the paths, all of each group that was told, to which 85 is to be presented."""
        told, self.changing = self.changing or {}, None
        return tuple(path for identity in told for path in self.paths.members(identity))

    def reset_path(self, path: Hashable, selective: bool) -> tuple[TrackWrite, ...]:
        """A reset on `path`: chain, sense and allegiance are gone; unless `selective`, group id and reservation too."""
        writes = self.end_chain(path)
        holder = self.paths.allegiance_of(path)
        self.take_sense(holder)
        if self.paths.allegiance == holder:
            self.paths.allegiance = None
        if not selective:
            self._forget(path)
        return writes

    def _forget(self, path: Hashable) -> None:
        """What is kept for a path, or for a group whose last path it is, goes with it: hosts come and go for years."""
        identity = self.paths.identity(path)
        self.paths.reset(path)
        self.system_characteristics.pop(path, None)
        if not self.paths.has_members(identity):
            self.system_characteristics.pop(identity, None)

    def refuse(self, path: Hashable, command: Command, check: UnitCheck) -> Outcome:
        """End the command, and with it the chain, with the unit check `check` that the subsystem found."""
        chain = self._chain
        if chain is None or chain.path != path or not command.chained:
            self.end_chain(path)
            chain = self._chain = ChainState(self, path)
        return self._unit_check(chain, command, check)

    def sense_for(self, check: UnitCheck) -> bytes:
        """Return the sense bytes of `check` at the current position, without ending anything."""
        chain = self._chain
        return chain_sense(chain, check) if chain is not None else sense_image(self, self.track, check)

    def take_owed_device_ends(self) -> tuple[Hashable, ...]:
        """Return the paths to which device end (04) is owed because they were answered busy; each once.

        Under a contingent allegiance that is the path (group) that has it: it is to fetch the sense.
        """
        return self.paths.take_owed() if self._chain is None else ()

    def state_change_pending(self) -> UnitCheck:
        """The 32-byte sense with action 1D: the host waits for attention (85) and tries again. For long busy."""
        return state_change_pending(self, self._chain.track if self._chain is not None else self.track)

    def _admit(self, chain: ChainState, command: Command) -> Rule:
        """Return the command's row after the checks that do not need its parameters: gates, code, sequence, count."""
        code = command.code
        gate = chain.gate
        if gate is not None:
            if code not in gate:
                raise invalid_sequence()
            chain.gate = None
        rule = self._rules.get(code)
        if rule is None:
            raise invalid_command()
        domain = chain.domain
        if domain is None:
            if rule.domain_only or (rule.positioned and not chain.positioned):
                raise invalid_sequence()
        elif not domain.bit & rule.domains:
            raise invalid_sequence()
        if rule.first and chain.position and not (chain.position == 1 and chain.previous == SUSPEND_RECONNECTION):
            raise invalid_sequence()
        if len(command.data) < rule.minimum:
            raise count_too_small()
        if not rule.keeps_index_passed:
            chain.index_passed = False
        if self.follows_alternates and rule.physical != chain.physical:
            chain.physical = rule.physical
            chain.records = None
        return rule

    def _run(self, chain: ChainState, command: Command) -> Outcome:
        """Run one command and do the accounting behind it: permissions, domain count, residual, hardening."""
        rule = self._admit(chain, command)
        if chain.waits and (command.code in NEEDS_READY or releases_space(command)):
            self._may_wait(chain, command)
        code, flags, count, _, _, _ = command
        chain.continues = continues = flags & CHAIN_COMMAND != 0
        domain = chain.domain
        status, data, wanted = rule.run(chain, command)
        chain.permissions &= rule.keeps
        if rule.last:
            chain.gate = NOTHING
        chain.previous = code
        chain.position += 1
        domain_ended = False
        if domain is not None and not rule.locates:
            domain.count -= 1
            if not domain.count:
                chain.domain = None
                domain_ended = True
        moved = wanted if wanted < count else count
        if len(data) > moved:
            data = data[:moved]
        outcome = Outcome(status, data, count - moved, wanted > count, None, rule.immediate)
        if rule.hands_out:
            outcome.order, outcome.record, outcome.release = chain.order, chain.record, chain.release
            chain.order = chain.record = chain.release = None
            if outcome.release is not None:
                outcome.writes = chain.take_writes()
                chain.forget_tracks()
        if chain.domain is None and not chain.changed:
            return outcome  # nothing is left open, nothing to harden: most commands end here
        stops = (
            not continues
            or status & _STOPPING_STATUS != NORMAL_END
            or (wanted != count and not flags & SUPPRESS_LENGTH and not rule.immediate)
        )
        if stops and status == NORMAL_END and chain.domain is not None and chain.domain.writes:
            self._report_incomplete(chain, command, outcome)
        if (stops or domain_ended) and chain.changed:
            outcome.writes = chain.take_writes()
        return outcome

    def _report_incomplete(self, chain: ChainState, command: Command, outcome: Outcome) -> None:
        """The chain ends inside a write domain: unit check with the 32-byte sense of an incomplete domain."""
        outcome.status = UNIT_CHECK_END
        outcome.sense = self._report(chain, command, incomplete_domain(chain))
        chain.domain = None

    def _report(self, chain: ChainState, command: Command, check: UnitCheck) -> bytes:
        """Return the sense of `check`. Unless it goes out with the status it is held, and an allegiance begins."""
        image = chain_sense(chain, check)
        self.keep_sense(chain.path, command, image)
        return image

    def keep_sense(self, path: Hashable, command: Command, image: bytes) -> None:
        """Hold the sense of a unit check for its path, which has a contingent allegiance then (5.4).

        Nothing is held when the sense goes to the channel with the status.
        """
        if command.concurrent_sense:
            return
        holder = self.paths.allegiance_of(path)
        self.hold_sense(holder, image)
        if not self.paths.is_reserved_elsewhere(path):
            self.paths.allegiance = holder

    def _unit_check(self, chain: ChainState, command: Command, check: UnitCheck) -> Outcome:
        """Turn `check` into unit check: sense held for the path, domain over, what was changed before is hardened."""
        image = self._report(chain, command, check)
        chain.domain = None
        chain.gate = NOTHING
        self.track = chain.track
        writes = chain.take_writes() if chain.changed else ()
        residual = command.count - self._parameters_moved(command, check)
        data = check.data[: command.count]
        return Outcome(UNIT_CHECK_END, data, residual, len(check.data) > command.count, image, writes=writes)

    def _parameters_moved(self, command: Command, check: UnitCheck) -> int:
        """Return how many parameter bytes count as moved at a unit check (eckd-commands section 6, head)."""
        if check.moved is not None:
            return min(check.moved, command.count)
        rule = self._rules.get(command.code)
        if rule is None or (check.byte0 == COMMAND_REJECT and check.message in _MOVES_NOTHING):
            return 0
        return min(rule.parameters, command.count)

    def _is_busy(self, path: Hashable, code: int) -> bool:
        chain = self._chain
        if code not in _TAKE_OVER and (
            (chain is not None and chain.path != path) or self.paths.owes_allegiance_elsewhere(path)
        ):
            return True
        if not self.paths.is_reserved_elsewhere(path) or code in _NEVER_RESERVED:
            return False
        return not self.paths.is_dispossessed(path) and not self.is_peer(path)
