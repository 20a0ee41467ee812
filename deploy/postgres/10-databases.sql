-- Run after roles.sql, once per server: a database a service, owned by the role that migrates.
CREATE DATABASE yaosu_energy OWNER yaosu_owner;
CREATE DATABASE yaosu_emission OWNER yaosu_owner;
CREATE DATABASE yaosu_land OWNER yaosu_owner;
CREATE DATABASE yaosu_gateway OWNER yaosu_owner;
