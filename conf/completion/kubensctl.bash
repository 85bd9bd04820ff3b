# shellcheck shell=bash
# Completion of kubensctl(1) for bash; installed as /usr/share/bash-completion/completions/kubensctl.

_kubensctl_services() {
    systemctl list-unit-files --no-legend --no-pager --type=service --full 2>/dev/null | while read -r unit _; do
        echo "$unit"
    done
}

_kubensctl_namespaces() {
    sed -n 's/^[[:blank:]]*Name[[:blank:]]*=[[:blank:]]*//p' /etc/kubens/*.conf /usr/lib/kubens/*.conf 2>/dev/null
    echo kubens
}

_kubensctl() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb='' options='' words='' i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            status | check | plan | compile | explain | wrap | env | release)
                verb=${COMP_WORDS[i]}
                break
                ;;
        esac
    done
    case $before in
        --root | --output)
            mapfile -t COMPREPLY < <(compgen -d -- "$word")
            return
            ;;
        --format)
            mapfile -t COMPREPLY < <(compgen -W 'units ignition butane machineconfig cloud-init' -- "$word")
            return
            ;;
        --namespace)
            mapfile -t COMPREPLY < <(compgen -W "$(_kubensctl_namespaces)" -- "$word")
            return
            ;;
    esac
    case $verb in
        '')
            options='--version'
            words='status check plan compile explain wrap env release'
            ;;
        status)
            options='--json'
            [[ $word == -* ]] || words=$(_kubensctl_namespaces)
            ;;
        check)
            options='--root --json'
            [[ $word == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$word")
            ;;
        plan)
            options='--root --diff --output'
            ;;
        compile)
            options='--root --format --output --role'
            ;;
        explain)
            options='--root'
            [[ $word == -* ]] || words=$(_kubensctl_services)
            ;;
        wrap | env | release)
            options='--namespace --now --dry-run --root'
            [[ $word == -* ]] || words=$(_kubensctl_services)
            ;;
    esac
    if [[ $word == -* ]]; then
        words="$options --help"
    fi
    # Of the files, if there are any, and these.
    while read -r i; do
        COMPREPLY+=("$i")
    done < <(compgen -W "$words" -- "$word")
}

complete -F _kubensctl kubensctl
