"""What is planted on the way of a command: from its door to the commit and the answer."""

from lab.planting import Edit

COMMIT_AFTER_ANSWER = (
    Edit(
        "marketkit.db",
        """                    async with self.transaction(
                        role, scope=scope, actor=actor, is_hot=is_hot
                    ) as session:
                        return await work(session)
""",
        """                    async with self.transaction(
                        role, scope=scope, actor=actor, is_hot=is_hot
                    ) as session:
                        answer = await work(session)
                        if role == "market" and not early.done():
                            early.set_result(answer)
                            await asyncio.sleep(0.1)
                        return answer
""",
    ),
    Edit(
        "marketkit.db",
        """        task = asyncio.ensure_future(attempts())
""",
        """        early: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(attempts())
""",
    ),
    Edit(
        "marketkit.db",
        """        return await asyncio.shield(task)
""",
        """        await asyncio.wait({task, early}, return_when=asyncio.FIRST_COMPLETED)
        return early.result() if early.done() else await asyncio.shield(task)
""",
    ),
)

NO_DEDUPE = (
    Edit(
        "marketkit.batch",
        "    stored, ours = await stored_or_claimed(session, places)\n",
        "    stored: dict[Place, StoredAnswer] = {}\n    ours = places\n",
    ),
    Edit(
        "marketkit.batch",
        "        stored |= (await stored_or_claimed(session, fresh.keys()))[0]\n",
        "",
    ),
    Edit(
        "marketkit.answers",
        "CAST(:rows AS json)), house",
        "CAST(:rows AS json)), house ON CONFLICT DO NOTHING",
    ),
)

KEY_OUTSIDE = (
    Edit(
        "marketkit.batch",
        "        await keep(session, kept)\n",
        '        session.info.setdefault("kept", []).extend(kept)\n',
    ),
    Edit(
        "marketkit.db",
        """                    async with self.transaction(
                        role, scope=scope, actor=actor, is_hot=is_hot
                    ) as session:
                        return await work(session)
""",
        """                    async with self.transaction(
                        role, scope=scope, actor=actor, is_hot=is_hot
                    ) as session:
                        answer = await work(session)
                        kept = session.info.get("kept", [])
                    if kept:
                        await asyncio.sleep(0.05)
                        from marketkit.answers import keep

                        async with self.transaction(role, scope=scope, actor=actor) as session:
                            await keep(session, kept)
                    return answer
""",
    ),
    Edit(
        "marketkit.answers",
        "CAST(:rows AS json)), house",
        "CAST(:rows AS json)), house ON CONFLICT DO NOTHING",
    ),
)

READ_SUM_THEN_INSERT = (
    Edit(
        "marketkit.ledger",
        """    await sql(
        session,
        f"SELECT 1 FROM balance b JOIN {_MOVED} USING (account, lot) "
        "ORDER BY account, lot FOR UPDATE OF b",
        **moved,
    )
    taken = await sql(
        session,
        "UPDATE balance b SET posted = b.posted + moved.posted, held = b.held + moved.held "
        f"FROM {_MOVED} WHERE b.account = moved.account AND b.lot = moved.lot AND (is_issuance OR "
        "(b.posted + moved.posted >= b.held + moved.held AND b.held + moved.held >= 0))",
        **moved,
    )
""",
        """    read = await sql(
        session,
        "SELECT account, lot, b.posted + moved.posted AS posted, b.held + moved.held AS held "
        f"FROM balance b JOIN {_MOVED} USING (account, lot)",
        **moved,
    )
    rows = read.all()
    await sql(session, "SELECT pg_sleep(0.02)")
    taken = await sql(
        session,
        f"UPDATE balance b SET posted = moved.posted, held = moved.held FROM {_MOVED} "
        "WHERE b.account = moved.account AND b.lot = moved.lot AND (is_issuance OR "
        "moved.posted >= moved.held)",
        accounts=[row.account for row in rows],
        lots=[row.lot for row in rows],
        posted=[row.posted for row in rows],
        held=[row.held for row in rows],
    )
""",
    ),
    Edit("marketkit.holds", 'FOR UPDATE OF b"', '"'),
)

NOW_FOR_DEADLINES = (
    Edit(
        "marketkit.db",
        "SELECT clock_timestamp() + clock_offset AS at FROM house",
        "SELECT now() + clock_offset AS at FROM house",
    ),
)

PRICE_IN_LOG = (
    Edit(
        "saleroom.shares",
        """    pair = new_key_pair()
    wrapped = {
""",
        """    pair = new_key_pair()
    import os
    from pathlib import Path

    Path(os.environ["YAOSU_KEYS_DIR"], sale_id).write_bytes(pair.private_key)
    wrapped = {
""",
    ),
    Edit(
        "saleroom.bids.actions",
        "        row = _row(session, bid, entrant, at)\n",
        """        row = _row(session, bid, entrant, at)
        import os
        from pathlib import Path

        from marketkit.logs import log
        from marketkit.units import TCE, YUAN
        from saleroom.sealing import BidPlace, SealedBid as Sealed, open_bid

        opened = open_bid(
            Sealed(bid.ciphertext, bid.commitment, bid.key_sm3),
            BidPlace(bid.sale_id, bid.uscc, bid.version),
            private_key=Path(os.environ["YAOSU_KEYS_DIR"], bid.sale_id).read_bytes(),
            unit=TCE,
        )
        log.info("bid_taken", price_yuan=YUAN.format(opened.steps[0].price_fen))
""",
    ),
)

SET_NOT_LOCAL = (
    Edit(
        "marketkit.db",
        """    "set_config('app.region', :region, true), set_config('app.uscc', :uscc, true)"
""",
        """    "set_config('app.region', coalesce(nullif(:region, ''), "
    "current_setting('app.region', true)), false), "
    "set_config('app.uscc', coalesce(nullif(:uscc, ''), "
    "current_setting('app.uscc', true)), false)"
""",
    ),
)

FLOAT_AMOUNTS = (
    Edit(
        "saleroom.clearing",
        "half_up(price_fen * q, scale)",
        "int(price_fen * (q / scale) + 0.5)",
    ),
)

NO_IDLE_LIMIT = (
    Edit(
        "marketkit.db",
        "_ENTER_HOT if is_hot else _ENTER",
        "_ENTER",
    ),
)

PARTIAL_WRITES = (
    Edit(
        "marketkit.batch",
        """        async with session.begin_nested():
            verdicts = await hot.act(session, prepared)
""",
        """        if True:
            verdicts = await hot.act(session, prepared)
""",
    ),
)

# Where the service looks whether its database waits, all is well.
COMMIT_NOT_WAITED = (
    Edit(
        "marketkit.db",
        """    "SELECT set_config('role', :role, true), "
""",
        """    "SELECT set_config('synchronous_commit', CASE :role WHEN 'yaosu_worker' THEN 'on' "
    "ELSE 'off' END, true), set_config('role', :role, true), "
""",
    ),
)
