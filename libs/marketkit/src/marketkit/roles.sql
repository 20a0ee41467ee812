-- The roles of the house, made once per PostgreSQL server by its superuser.
-- The owner migrates; the app logs in and may become exactly one of three for a transaction:
-- scoped (row security decides), market (spans regions: the action decides), worker (no person).
DO $$
DECLARE role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['yaosu_scoped', 'yaosu_market', 'yaosu_worker'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
        END IF;
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'yaosu_owner') THEN
        CREATE ROLE yaosu_owner LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'yaosu_app') THEN
        CREATE ROLE yaosu_app LOGIN NOINHERIT;
    END IF;
END $$;
GRANT yaosu_scoped, yaosu_market, yaosu_worker TO yaosu_app;
-- Below lock_timeout (500 ms), or two that wait for each other both give up and none is tried again.
ALTER ROLE yaosu_app SET deadlock_timeout = '100ms';
