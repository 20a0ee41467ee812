import asyncio
from collections.abc import Awaitable, Callable

import pytest
from pydantic import BaseModel

from databases import rows, until_idle
from marketkit.batch import COMMANDS_MAX, Answer, Command, execute, single
from marketkit.db import Database, Session, sql
from marketkit.errors import Busy, Conflict, problem
from marketkit.signing import canonical

BODY, OTHER_BODY = b"f1", b"f2"


class Counted(BaseModel):
    number: int


class Full(Conflict):
    title = "已满"
    article = "art. 6"


def command(
    key: str = "k", principal: str = "p", fingerprint: bytes = BODY, location: str = ""
) -> Command[None]:
    return Command(principal, key, fingerprint, None, 201, location)


async def count(session: Session) -> Counted:
    """One more thing, however often it is asked for with another key."""
    row = await sql(
        session,
        "INSERT INTO toy.thing (key, fact_count) VALUES ('n', 1) ON CONFLICT (key) "
        "DO UPDATE SET fact_count = thing.fact_count + 1 RETURNING fact_count",
    )
    return Counted(number=row.scalar_one())


async def refuse(session: Session) -> Counted:
    await count(session)
    raise Full("三个名额已用完")


async def send(
    house: Database,
    *commands: Command[None],
    action: Callable[[Session], Awaitable[BaseModel]] = count,
) -> list[Answer]:
    return await house.run(lambda session: execute(session, commands, single(action)))


async def effects(house: Database) -> int:
    return int((await rows(house, "SELECT coalesce(sum(fact_count), 0) FROM toy.thing"))[0][0])


@pytest.mark.usefixtures("toy")
class TestOneKey:
    @pytest.mark.parametrize("copies", [5, 50])
    async def test_row_67_identical_requests_at_once_have_one_effect(
        self, kit_house: Database, copies: int
    ) -> None:
        ended = await asyncio.gather(*(send(kit_house, command()) for _ in range(copies)))
        answers = [answer for (answer,) in ended]
        assert {answer.status for answer in answers} <= {201, 409}
        done = [answer for answer in answers if answer.status == 201]
        assert done
        assert len(set(done)) == 1
        for refused in answers:
            if refused.status == 409:
                assert b'"code":"IDEMPOTENCY_KEY_IN_FLIGHT"' in refused.body
                assert refused.retry_after_s == 1
        assert await effects(kit_house) == 1
        assert await send(kit_house, command()) == done[:1]

    async def test_row_66_a_key_used_for_another_request_is_refused(
        self, kit_house: Database
    ) -> None:
        (first,) = await send(kit_house, command())
        (other,) = await send(kit_house, command(fingerprint=OTHER_BODY))
        assert other.status == 422
        assert b'"code":"IDEMPOTENCY_KEY_REUSED"' in other.body
        assert await send(kit_house, command()) == [first]
        assert await effects(kit_house) == 1

    async def test_another_principals_key_is_another_key(self, kit_house: Database) -> None:
        await send(kit_house, command())
        (other,) = await send(kit_house, command(principal="q", fingerprint=OTHER_BODY))
        assert (other.status, other.body) == (201, b'{"number":2}')
        # No pair of texts reads as another pair.
        await send(kit_house, command(key="b\x1fc", principal="a"))
        (apart,) = await send(kit_house, command(key="c", principal="a\x1fb"))
        assert apart.body == b'{"number":4}'

    async def test_an_answer_is_replayed_byte_for_byte(self, kit_house: Database) -> None:
        said = command(location="/v1/things/{number}")
        (first,) = await send(kit_house, said)
        assert first == Answer(201, b'{"number":1}', "/v1/things/1")
        assert await send(kit_house, said) == [first]

    async def test_row_68_after_a_lost_answer_the_stored_one_comes(
        self, kit_house: Database
    ) -> None:
        caller = asyncio.create_task(send(kit_house, command()))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        await until_idle(kit_house)
        assert await send(kit_house, command()) == [Answer(201, b'{"number":1}')]
        assert await effects(kit_house) == 1

    async def test_a_twin_in_flight_is_refused_at_once(self, kit_house: Database) -> None:
        acting, may_end = asyncio.Event(), asyncio.Event()

        async def slow(session: Session) -> Counted:
            acting.set()
            await may_end.wait()
            return await count(session)

        async with asyncio.TaskGroup() as running:
            first = running.create_task(send(kit_house, command(), action=slow))
            await acting.wait()
            (twin,) = await asyncio.wait_for(send(kit_house, command()), 5)
            (other,) = await send(kit_house, command("another"))
            may_end.set()
        assert twin.status == 409
        assert other.status == 201
        assert first.result()[0].status == 201

    async def test_a_refusal_is_stored_and_leaves_none_of_its_writes(
        self, kit_house: Database
    ) -> None:
        (refused,) = await send(kit_house, command(), action=refuse)
        document = canonical(problem(Full("三个名额已用完")))
        assert refused == Answer(409, document)
        assert await effects(kit_house) == 0
        # For ever, though it might be done now: a new attempt needs a new key.
        assert await send(kit_house, command()) == [refused]
        assert await effects(kit_house) == 0
        assert (await send(kit_house, command("new")))[0].status == 201

    async def test_what_may_succeed_later_is_not_stored(self, kit_house: Database) -> None:
        async def busy(session: Session) -> Counted:
            raise Busy

        (answer,) = await send(kit_house, command(), action=busy)
        assert (answer.status, answer.retry_after_s) == (503, 1)
        assert (await send(kit_house, command()))[0].status == 201

    async def test_what_breaks_stores_nothing(self, kit_house: Database) -> None:
        async def break_down(session: Session) -> Counted:
            await count(session)
            raise LookupError

        with pytest.raises(LookupError):
            await send(kit_house, command(), action=break_down)
        assert await effects(kit_house) == 0
        assert (await send(kit_house, command()))[0].status == 201


@pytest.mark.usefixtures("toy")
class TestLists:
    async def test_a_key_twice_in_a_list_is_one_command(self, kit_house: Database) -> None:
        answers = await send(kit_house, command("a"), command("b"), command("a"))
        assert [answer.body for answer in answers] == [
            b'{"number":1}',
            b'{"number":2}',
            b'{"number":1}',
        ]
        assert await effects(kit_house) == 2

    @pytest.mark.parametrize("is_known", [False, True], ids=["fresh", "answered before"])
    async def test_a_key_twice_with_two_requests_refuses_the_other_alone(
        self, kit_house: Database, is_known: bool
    ) -> None:
        if is_known:
            await send(kit_house, command())
        own, other = command(), command(fingerprint=OTHER_BODY)
        orders = [[own, other], [own, other, own]] + ([[other, own]] if is_known else [])
        for commands in orders:
            answers = await send(kit_house, *commands)
            wanted = [201 if one is own else 422 for one in commands]
            assert [answer.status for answer in answers] == wanted
        assert await effects(kit_house) == 1

    async def test_answers_keep_the_order_of_their_commands(self, kit_house: Database) -> None:
        await send(kit_house, command("k3"))
        answers = await send(kit_house, *(command(f"k{n}") for n in range(6)))
        numbers = [Counted.model_validate_json(answer.body).number for answer in answers]
        assert numbers == [2, 3, 4, 1, 5, 6]

    async def test_a_list_is_bounded(self, kit_house: Database) -> None:
        full = await send(kit_house, *(command(f"k{n}") for n in range(COMMANDS_MAX)))
        assert len({answer.body for answer in full}) == COMMANDS_MAX
        with pytest.raises(AssertionError):
            await send(kit_house, *(command(f"j{n}") for n in range(COMMANDS_MAX + 1)))
